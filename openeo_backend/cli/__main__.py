"""`python -m openeo_backend.cli`."""

from openeo_backend.cli.main import main

main()
