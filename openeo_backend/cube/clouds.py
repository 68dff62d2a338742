"""Telling clouds and their shadows, on plain arrays.

Each function returns the probabilities (cloud, shadow) as float32 from 0 to 1, NaN where nothing can be told.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: The Sentinel-2 bands that the test of Hollstein et al. reads.
HOLLSTEIN_BANDS = ("B01", "B02", "B03", "B05", "B06", "B07", "B8A", "B09", "B10", "B11")


def classify_scl(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the scene classification of Sen2Cor (SCL).

    Clouds of high probability (9) and thin cirrus (10) are 1, clouds of medium probability (8) are 0.5; cloud shadows
    (3) are 1. No data (0) and saturated or defective pixels (1) have no value.
    """
    unknown = ~((classes >= 2) & (classes <= 11))
    cloud = np.select([unknown, classes == 8, (classes == 9) | (classes == 10)], [np.nan, 0.5, 1.0], 0.0)
    shadow = np.select([unknown, classes == 3], [np.nan, 1.0], 0.0)
    return cloud.astype("float32"), shadow.astype("float32")


def classify_qa_pixel(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the quality band (QA_PIXEL) of Landsat collection 2, which holds what CFMask found.

    Cloud (bit 3), dilated cloud (bit 1) and cirrus (bit 2) are 1, other pixels of medium cloud confidence (bits 8 and
    9 are 2) 0.5; cloud shadow (bit 4) is 1. Fill (bit 0) has no value.

    :param bits: floating point numbers with NaN for missing.
    """
    fill = np.isnan(bits)
    flags = np.where(fill, 1, bits).astype("uint32")
    fill = (flags & 1) > 0
    medium = ((flags >> 8) & 3) == 2
    cloud = np.select([fill, (flags & 0b1110) > 0, medium], [np.nan, 1.0, 0.5], 0.0)
    shadow = np.select([fill, (flags & 0b10000) > 0], [np.nan, 1.0], 0.0)
    return cloud.astype("float32"), shadow.astype("float32")


def classify_hollstein(toa: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """By the decision tree of Hollstein et al. 2016 (doi:10.3390/rs8080666, figure 8) for Sentinel-2 level 1C.

    Its classes cloud and cirrus are clouds; shadow is shadow; clear, water and snow are neither.

    :param toa: reflectances at the top of the atmosphere by band, those of `HOLLSTEIN_BANDS`.
    """
    b = toa
    with np.errstate(divide="ignore", invalid="ignore"):
        low, dark = b["B03"] < 0.319, b["B8A"] < 0.166
        vapour = b["B09"] - b["B11"]
        land = (b["B03"] - b["B07"]) < 0.027
        dim_shadow = np.where(land, ~(vapour < -0.097), ~(vapour < 0.021))
        thin = (b["B02"] / b["B10"] < 14.689) & ~(b["B02"] / b["B09"] < 0.788)
        bright = b["B05"] / b["B11"] < 4.33
        cold = (b["B11"] - b["B10"]) < 0.255
        cloudy = cold | ~(b["B01"] < 0.3)
        not_snow = (b["B03"] < 0.525) & ~(b["B01"] / b["B05"] < 1.184)
    cloud = np.where(low, ~dark & thin, bright & cloudy)
    shadow = np.where(low, dark & dim_shadow, ~bright & not_snow)
    unknown = np.isnan(np.stack([b[name] for name in HOLLSTEIN_BANDS])).any(axis=0)
    return (
        np.where(unknown, np.nan, cloud).astype("float32"),
        np.where(unknown, np.nan, shadow).astype("float32"),
    )
