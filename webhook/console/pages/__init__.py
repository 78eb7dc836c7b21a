"""The pages, one module for each part of the console; `webhook.console.addresses` lists them."""
