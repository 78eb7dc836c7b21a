"""What `sl.config.yaml` may say, and reading it."""
