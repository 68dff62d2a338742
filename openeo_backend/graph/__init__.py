"""Process graphs: parsing, checking, planning and evaluating. Pure: no I/O, no arrays, no web framework."""
