"""Machine learning: models trained from vector cubes, applied to the pixels of raster cubes."""
