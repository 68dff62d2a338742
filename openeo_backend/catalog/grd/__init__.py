"""Sentinel-1 ground range images (GRD) as their processor made them: calibrated and geocoded here, lazily."""
