"""Pictures of the demo's results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from PIL import Image, ImageDraw
from rasterio.features import rasterize
from rasterio.warp import transform_geom

#: Colours of the classes of crop_classification.json.
CROPS = {
    1: ("winter wheat", (222, 184, 80)),
    2: ("winter barley", (240, 225, 150)),
    3: ("rapeseed", (246, 222, 20)),
    4: ("maize", (233, 140, 40)),
    5: ("sugar beet", (170, 70, 140)),
    6: ("potato", (150, 95, 60)),
    7: ("grassland", (130, 200, 90)),
    8: ("forest", (30, 110, 50)),
    9: ("water", (60, 120, 210)),
    10: ("built-up", (150, 150, 150)),
}
#: NDVI values and their colours.
SCALE = (
    (-0.2, (70, 110, 180)),
    (0.1, (205, 180, 140)),
    (0.4, (235, 225, 120)),
    (0.65, (120, 185, 70)),
    (0.95, (15, 85, 30)),
)
GAP, HEAD = 6, 18


def draw_ndvi(source: Path, target: Path) -> str:
    """One picture per month side by side; a line of figures."""
    with xr.open_dataset(source) as dataset:
        name = next(name for name, variable in dataset.data_vars.items() if variable.ndim == 3)
        months = dataset[name].load()
    labels = [str(label)[:7] for label in months[months.dims[0]].values]
    panels = [colour(month) for month in months.values]
    height, width = panels[0].shape[:2]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    image = Image.new("RGB", (columns * (width + GAP), rows * (height + HEAD + GAP)), "white")
    pen = ImageDraw.Draw(image)
    for index, (label, panel) in enumerate(zip(labels, panels, strict=True)):
        left, top = (index % columns) * (width + GAP), (index // columns) * (height + HEAD + GAP)
        pen.text((left + 4, top + 3), f"NDVI {label}", fill="black")
        image.paste(Image.fromarray(panel), (left, top + HEAD))
    image.save(target)
    means = ", ".join(f"{label} {np.nanmean(month):.2f}" for label, month in zip(labels, months.values, strict=True))
    return f"Picture: {target} (mean NDVI by month: {means})"


def colour(values: np.ndarray) -> np.ndarray:
    """Values as RGB by :data:`SCALE`; missing ones white."""
    stops = [value for value, _ in SCALE]
    channels = [np.interp(values, stops, [rgb[band] for _, rgb in SCALE]) for band in range(3)]
    picture = np.stack(channels, axis=-1)
    picture[np.isnan(values)] = 255
    return picture.astype("uint8")


def accuracy(source: Path, reference: Path) -> float:
    """Share of the pixels of the validation polygons that have their polygon's class."""
    features = json.loads(reference.read_text(encoding="utf-8"))["features"]
    wanted = [feature for feature in features if feature["properties"]["use"] == "validation"]
    with rasterio.open(source) as dataset:
        shapes = [
            (transform_geom("EPSG:4326", dataset.crs, feature["geometry"]), feature["properties"]["target"])
            for feature in wanted
        ]
        truth = rasterize(shapes, dataset.shape, transform=dataset.transform, dtype="uint8")
        classes = dataset.read(1)
    return float((classes == truth)[truth > 0].mean())


def draw_crops(source: Path, target: Path) -> str:
    """The classes with their legend; a line of figures."""
    with rasterio.open(source) as dataset:
        classes = dataset.read(1)
    picture = np.full((*classes.shape, 3), 255, "uint8")
    for value, (_, rgb) in CROPS.items():
        picture[classes == value] = rgb
    image = Image.new("RGB", (classes.shape[1] + 150, classes.shape[0]), "white")
    image.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(image)
    shares = {name: float((classes == value).mean()) for value, (name, _) in CROPS.items()}
    for row, (name, rgb) in enumerate(CROPS.values()):
        top = 10 + 24 * row
        pen.rectangle((classes.shape[1] + 10, top, classes.shape[1] + 26, top + 16), fill=rgb)
        pen.text((classes.shape[1] + 32, top + 3), f"{name} {100 * shares[name]:.0f} %", fill="black")
    image.save(target)
    largest = sorted(shares.items(), key=lambda entry: -entry[1])[:4]
    return f"Picture: {target} ({', '.join(f'{name} {100 * share:.0f} %' for name, share in largest)})"
