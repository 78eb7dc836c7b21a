"""The one pipeline every row takes to the index, and the four ways to choose rows."""

from semilayer_pipelines.memory import spare_memory

# Before a run starts a thread.
spare_memory()
