"""Tools for people's agents, over the Model Context Protocol."""
