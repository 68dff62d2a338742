"""What joining a federation asks of a back-end."""
