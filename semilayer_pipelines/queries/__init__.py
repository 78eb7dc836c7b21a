"""What only looks at a lens: search, explain, audit, dry run, state."""
