"""What `make bench` measures: speed beside the raw floor, counts that must be exact, peak memory."""
