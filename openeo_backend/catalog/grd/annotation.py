"""The XML documents of a Sentinel-1 GRD product: annotation, calibration and noise.

The documents come from outside: they are read as UTF-8, up to a size, without document type declarations (and so
without entities).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from openeo_backend.cube.backscatter import AzimuthNoise, Noise, Table
from openeo_backend.cube.doppler import Conversion, View
from openeo_backend.errors import OpenEOError

#: Largest document in bytes.
LARGEST = 64 * 2**20

#: Names of the look-up tables by coefficient.
TABLES = {"sigma0-ellipsoid": "sigmaNought", "beta0": "betaNought", "gamma0-ellipsoid": "gamma"}


@dataclass(frozen=True, eq=False)
class Annotation:
    """What the annotation tells about an image."""

    view: View
    heights: Table
    """Metres above the ellipsoid on the grid of tie points."""

    azimuth_spacing: float
    """Metres from line to line."""


def parse_xml(content: bytes, name: str) -> ElementTree.Element:
    """The root of a document.

    :raises OpenEOError: FileContentInvalid for what is not plain XML.
    """
    if len(content) > LARGEST:
        raise _invalid(name, f"it is larger than {LARGEST // 2**20} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(name, "it is not UTF-8") from error
    # without zeros the parser cannot take it for UTF-16, in which a declaration would look different
    if "\0" in text or "<!" in text.replace("<!--", ""):
        raise _invalid(name, "it has a document type declaration")
    parser = ElementTree.XMLParser(encoding="utf-8")  # noqa: S314 - entities need the declaration refused above
    try:
        parser.feed(text)
        root: ElementTree.Element = parser.close()
    except ElementTree.ParseError as error:
        raise _invalid(name, f"it is not XML: {error}") from error
    return root


def read_annotation(content: bytes, name: str) -> Annotation:
    """The geometry of an image.

    :raises OpenEOError: FileContentInvalid where something is missing.
    """
    try:
        return _annotation(parse_xml(content, name))
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise _invalid(name, f"it is not the annotation of a GRD image: {error}") from error


def read_calibration(content: bytes, name: str) -> dict[str, Table]:
    """The look-up tables by coefficient.

    :raises OpenEOError: FileContentInvalid where something is missing.
    """
    try:
        vectors = _all(parse_xml(content, name), "calibrationVectorList/calibrationVector")
        return {coefficient: _table(vectors, member) for coefficient, member in TABLES.items()}
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise _invalid(name, f"it is not the calibration of a GRD image: {error}") from error


def read_noise(content: bytes, name: str) -> Noise:
    """The thermal noise: range and azimuth vectors, or the single vectors of products before 2018.

    :raises OpenEOError: FileContentInvalid where something is missing.
    """
    try:
        root = parse_xml(content, name)
        ranges = root.findall("noiseRangeVectorList/noiseRangeVector")
        if not ranges:
            return Noise(_table(_all(root, "noiseVectorList/noiseVector"), "noiseLut"))
        blocks = [_azimuth_block(block) for block in root.findall("noiseAzimuthVectorList/noiseAzimuthVector")]
        return Noise(_table(ranges, "noiseRangeLut"), blocks)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise _invalid(name, f"it is not the noise of a GRD image: {error}") from error


def _annotation(root: ElementTree.Element) -> Annotation:
    image = _one(root, "imageAnnotation/imageInformation")
    start = _moment(image, "productFirstLineUtcTime")
    orbit = _all(root, "generalAnnotation/orbitList/orbit")
    conversions = _all(root, "coordinateConversion/coordinateConversionList/coordinateConversion")
    view = View(
        times=np.array([_seconds(_moment(vector, "time"), start) for vector in orbit]),
        positions=np.array([[_number(vector, f"position/{axis}") for axis in "xyz"] for vector in orbit]),
        velocities=np.array([[_number(vector, f"velocity/{axis}") for axis in "xyz"] for vector in orbit]),
        conversions=tuple(
            Conversion(
                time=_seconds(_moment(conversion, "azimuthTime"), start),
                slant_origin=_number(conversion, "sr0"),
                to_ground=_numbers(conversion, "srgrCoefficients"),
                ground_origin=_number(conversion, "gr0"),
                to_slant=_numbers(conversion, "grsrCoefficients"),
            )
            for conversion in conversions
        ),
        interval=_number(image, "azimuthTimeInterval"),
        spacing=_number(image, "rangePixelSpacing"),
        shape=(int(_number(image, "numberOfLines")), int(_number(image, "numberOfSamples"))),
    )
    return Annotation(view, _heights(root), _number(image, "azimuthPixelSpacing"))


def _heights(root: ElementTree.Element) -> Table:
    points = _all(root, "geolocationGrid/geolocationGridPointList/geolocationGridPoint")
    values = np.array([[_number(point, member) for member in ("line", "pixel", "height")] for point in points])
    lines = np.unique(values[:, 0])
    rows = [values[values[:, 0] == line] for line in lines]
    rows = [row[np.argsort(row[:, 1])] for row in rows]
    return Table(lines, tuple(row[:, 1] for row in rows), tuple(row[:, 2] for row in rows))


def _table(vectors: Iterable[ElementTree.Element], member: str) -> Table:
    rows = sorted(
        ((_number(vector, "line"), _numbers(vector, "pixel"), _numbers(vector, member)) for vector in vectors),
        key=lambda row: row[0],
    )
    if not rows or any(len(pixels) != len(values) or not len(values) for _, pixels, values in rows):
        raise ValueError(f"the vectors of {member} are empty or of different lengths")
    lines, pixels, values = zip(*rows, strict=True)
    return Table(np.array(lines), pixels, values)


def _azimuth_block(block: ElementTree.Element) -> AzimuthNoise:
    return AzimuthNoise(
        rows=(int(_number(block, "firstAzimuthLine")), int(_number(block, "lastAzimuthLine"))),
        columns=(int(_number(block, "firstRangeSample")), int(_number(block, "lastRangeSample"))),
        lines=_numbers(block, "line"),
        factors=_numbers(block, "noiseAzimuthLut"),
    )


# -- members --------------------------------------------------------------------------------------------


def _one(element: ElementTree.Element, path: str) -> ElementTree.Element:
    found = element.find(path)
    if found is None:
        raise ValueError(f"it lacks {path}")
    return found


def _all(element: ElementTree.Element, path: str) -> list[ElementTree.Element]:
    found = element.findall(path)
    if not found:
        raise ValueError(f"it lacks {path}")
    return found


def _text(element: ElementTree.Element, path: str) -> str:
    return (_one(element, path).text or "").strip()


def _number(element: ElementTree.Element, path: str) -> float:
    return float(_text(element, path))


def _numbers(element: ElementTree.Element, path: str) -> np.ndarray:
    return np.array(_text(element, path).split(), dtype="float64")


def _moment(element: ElementTree.Element, path: str) -> np.datetime64:
    return np.datetime64(_text(element, path).rstrip("Z"), "ns")


def _seconds(moment: np.datetime64, start: np.datetime64) -> float:
    return float((moment - start) / np.timedelta64(1, "ns")) * 1e-9


def _invalid(name: str, why: str) -> OpenEOError:
    return OpenEOError("FileContentInvalid", f"The {name} cannot be used: {why}.")
