"""The height of the sea: how far the geoid lies above the WGS 84 ellipsoid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

#: Metres of the geoid of the earth gravity model EGM2008 above the ellipsoid, every 10 degrees: rows from 90 south to
#: 90 north, columns from 180 west to 170 east (two lines each).
_GEOID = """
-30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30
-30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30 -30
-52 -53 -53 -52 -48 -43 -39 -35 -29 -23 -24 -25 -22 -19 -17 -15 -10 -6
-5 -2 1 4 5 5 5 6 6 -3 -13 -25 -34 -42 -50 -51 -50 -51
-62 -63 -60 -57 -52 -44 -38 -32 -27 -21 -8 2 5 0 2 1 3 10
14 17 18 20 22 29 30 17 18 11 -8 -21 -27 -39 -43 -55 -56 -58
-46 -43 -37 -32 -30 -27 -24 -22 -17 -11 -4 9 20 20 21 24 21 17
15 20 25 29 34 33 33 29 25 9 -3 -14 -25 -31 -33 -30 -35 -45
-16 -19 -18 -16 -17 -16 -10 -11 -8 -3 5 12 13 2 4 11 21 27
25 26 33 38 45 45 38 40 27 13 -2 -15 -22 -22 -18 -17 -14 -10
20 6 1 -7 -12 -13 -13 -10 -7 -1 7 22 13 -3 -7 6 21 23
18 25 29 33 39 41 28 23 13 -2 -21 -32 -34 -27 -15 -2 5 19
48 23 6 -1 -9 -13 -10 -8 -4 1 8 36 18 3 -8 3 10 15
22 26 33 31 14 15 15 6 -9 -25 -38 -39 -22 -14 13 32 34 44
50 26 9 -1 -8 -11 -5 -2 -4 -1 8 35 20 -8 -7 -6 0 12
17 23 22 7 -10 -11 -10 -21 -40 -48 -46 -26 4 24 46 57 57 64
35 21 11 5 -3 -9 -11 -8 -12 -9 -1 28 4 -19 -12 -10 4 13
11 13 5 -12 -27 -32 -37 -61 -76 -64 -26 -1 38 52 69 77 62 51
21 15 16 13 1 -13 -23 -20 -14 -4 15 14 -13 -26 -19 2 14 19
17 9 -17 -11 -28 -49 -63 -89 -103 -63 -7 34 60 76 72 62 49 32
13 12 11 1 -11 -29 -39 -29 -11 2 1 -10 -41 -43 -17 3 17 33
24 22 2 -5 -10 -32 -58 -91 -97 -63 -25 11 52 60 60 45 35 25
4 10 8 -7 -23 -39 -47 -34 -7 -11 -20 -48 -47 -33 -10 17 25 31
31 27 14 9 2 -31 -42 -61 -68 -59 -38 -13 22 38 49 41 21 9
-7 -5 -9 -16 -28 -40 -42 -30 -23 -27 -32 -52 -41 -18 17 30 34 44
34 28 26 16 11 -18 -15 -38 -37 -34 -34 -24 8 30 42 19 3 -7
-12 -11 -13 -21 -31 -37 -23 -18 -25 -33 -34 -34 -27 1 32 59 52 49
51 45 34 39 31 -18 -29 -41 -55 -66 -55 -28 2 23 38 17 -2 -11
-6 6 7 0 -11 -18 -16 -18 -24 -35 -39 -26 -13 24 44 63 62 59
45 48 40 27 11 -12 -19 -33 -44 -42 -42 -30 -4 15 23 20 6 3
1 10 15 14 11 0 -16 -31 -42 -47 -42 -23 5 29 49 64 61 56
48 41 19 16 11 6 -4 -21 -30 -34 -34 -28 -17 0 12 16 14 9
2 1 -1 -1 -3 -8 -15 -25 -27 -26 -18 3 24 29 45 56 60 56
49 42 30 20 11 3 -3 -10 -13 -12 -14 -8 -8 -5 0 3 3 3
3 2 0 0 -1 -2 0 6 4 9 12 7 19 28 34 37 32 34
36 35 29 24 18 13 8 2 2 1 3 2 2 1 0 2 2 1
15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15
15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15
"""
_STEP = 10.0
_ROOM = 6


def _prepare() -> np.ndarray:
    """Coefficients of the cubic splines through the values, going round the earth."""
    values = np.array(_GEOID.split(), dtype="float64").reshape(19, 36)
    round_ = np.concatenate([values[:, -_ROOM:], values, values[:, :_ROOM]], axis=1)
    return np.asarray(ndimage.spline_filter(round_, order=3, mode="nearest"))


_SPLINES = _prepare()


def geoid_height(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Metres of mean sea level above the ellipsoid at places in degrees.

    Between the nodes the geoid is smooth here: it is a few metres from the true one, at most about 12.
    """
    columns = ((lon + 180.0) % 360.0) / _STEP + _ROOM
    rows = (lat + 90.0) / _STEP
    return np.asarray(ndimage.map_coordinates(_SPLINES, [rows, columns], order=3, prefilter=False, mode="nearest"))
