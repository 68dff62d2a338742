"""The review of any openEO back-end against the requirements of the openEO profiles and the CDSE federation."""
