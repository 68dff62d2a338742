"""Logging, time and measures."""
