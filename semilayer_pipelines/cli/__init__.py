"""The `semilayer` command."""
