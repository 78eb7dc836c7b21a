"""What is answered at which address; `webhook.operations` has the list."""
