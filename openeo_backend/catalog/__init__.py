"""STAC in: sources, search, description, and loading of lazy cubes."""
