"""A handler for each address; `webhook.operations` lists the addresses."""
