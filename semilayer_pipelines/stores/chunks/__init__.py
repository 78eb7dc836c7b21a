"""Rows of which a long text is cut: one object a row, and the vectors of its chunks beside it.

A row stays one object of the *main index*, under its key. The chunks of all rows that were cut are
objects of a second index of the same store, which is made with the first of them. Whoever reads or
writes rows meets one index and the keys of rows.
"""

__all__ = ["OF_CHUNKS"]

OF_CHUNKS = "-chunks"
"""What the name of an index of chunks has behind that of its main index."""
