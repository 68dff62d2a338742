"""The checks, one module per subject; every module here is found by itself."""
