"""The console in a browser: one that people use, driven as they would."""
