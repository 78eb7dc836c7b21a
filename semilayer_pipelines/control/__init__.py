"""What changes a registered lens: push, pause, resume, rollback, and changes that callers send."""
