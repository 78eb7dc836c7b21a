"""Where generations live and are searched."""
