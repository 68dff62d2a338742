"""File formats: writing cubes and values block by block, and reading single files."""
