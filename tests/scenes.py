"""A small STAC collection with true pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
import rasterio.warp
from affine import Affine

DAYS = ("2023-04-02", "2023-04-12", "2023-04-25")


def write_scenes(
    folder: Path, values: Mapping[str, np.ndarray], id: str = "SCENES", days: Sequence[str] = DAYS
) -> Path:
    """Write a static collection of stored values by band (t, y, x), one item per date, with pixels of 10 x 20 m.

    :returns: the path of its document.
    """
    folder.mkdir(parents=True)
    transform = Affine(10, 0, 600_000, 0, -20, 5_700_000)
    links = []
    for index, day in enumerate(days):
        assets = {}
        for name, planes in values.items():
            height, width = planes.shape[1:]
            profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": planes.dtype}
            with rasterio.open(
                folder / f"{day}-{name}.tif", "w", **profile, crs=32631, transform=transform, nodata=0
            ) as file:
                file.write(planes[index], 1)
            band = {"name": name, "data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": 0}
            assets[name] = {"href": f"./{day}-{name}.tif", "type": "image/tiff; application=geotiff"}
            assets[name] |= {"bands": [band], "proj:shape": [height, width], "proj:transform": list(transform)[:6]}
        west, south, east, north = rasterio.warp.transform_bounds(
            32631, 4326, 600_000, 5_700_000 - 20 * height, 600_000 + 10 * width, 5_700_000
        )
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item = {"type": "Feature", "stac_version": "1.1.0", "id": day, "collection": id, "links": []}
        item |= {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [west, south, east, north]}
        properties = {"datetime": f"{day}T10:50:00Z", "proj:code": "EPSG:32631", "instruments": ["camera"]}
        item |= {"properties": properties, "assets": assets}
        (folder / f"{day}.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{day}.json"})
    collection = {"type": "Collection", "stac_version": "1.1.0", "id": id, "description": "Made by a test."}
    collection |= {"license": "CC0-1.0", "links": links}
    collection["extent"] = {
        "spatial": {"bbox": [[4, 51, 5, 52]]},
        "temporal": {"interval": [["2023-01-01T00:00:00Z", None]]},
    }
    path = folder / "collection.json"
    path.write_text(json.dumps(collection))
    return path
