"""The one pipeline every row takes to the index, and the four ways to choose rows."""
