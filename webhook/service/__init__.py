"""What the routes call: accepting changes, keys, requests, responses, problems."""
