"""Read-only adapters to sources."""
