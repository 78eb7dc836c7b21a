"""Long texts cut into chunks, each of which the model reads whole."""
