"""Tools for agents, through the SDK's own client."""
