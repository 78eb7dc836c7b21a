"""Follows the changes of a source: its log or outbox in, changes of lenses out."""
