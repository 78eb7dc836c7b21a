"""What is remembered between runs: lenses, jobs, changes, cursors, generations."""
