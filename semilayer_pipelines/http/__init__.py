"""What every HTTP service and client of the project shares."""
