"""What `make bench` measures: speed beside the raw floor, exact counts, peak memory."""
