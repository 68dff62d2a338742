"""HTTP: one thin module per resource of the openEO API."""
