"""The openEO processes: one module per family, one function per process."""
