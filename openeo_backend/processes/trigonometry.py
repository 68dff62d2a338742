"""Angles, in radians, and hyperbolic functions; NaN outside of a function's domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from openeo_backend.cube.pixels import compute
from openeo_backend.processes.registry import process


@process("sin")
def sin(x: Any) -> Any:
    """The sine."""
    return compute(np.sin, x=x)


@process("cos")
def cos(x: Any) -> Any:
    """The cosine."""
    return compute(np.cos, x=x)


@process("tan")
def tan(x: Any) -> Any:
    """The tangent."""
    return compute(np.tan, x=x)


@process("sinh")
def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    return compute(np.sinh, x=x)


@process("cosh")
def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    return compute(np.cosh, x=x)


@process("tanh")
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return compute(np.tanh, x=x)


@process("arcsin")
def arcsin(x: Any) -> Any:
    """The inverse of the sine."""
    return compute(np.arcsin, x=x)


@process("arccos")
def arccos(x: Any) -> Any:
    """The inverse of the cosine."""
    return compute(np.arccos, x=x)


@process("arctan")
def arctan(x: Any) -> Any:
    """The inverse of the tangent."""
    return compute(np.arctan, x=x)


@process("arctan2")
def arctan2(y: Any, x: Any) -> Any:
    """The angle of the point (x, y), between -pi and pi."""
    return compute(np.arctan2, y=y, x=x)


@process("arsinh")
def arsinh(x: Any) -> Any:
    """The inverse of the hyperbolic sine."""
    return compute(np.arcsinh, x=x)


@process("arcosh")
def arcosh(x: Any) -> Any:
    """The inverse of the hyperbolic cosine."""
    return compute(np.arccosh, x=x)


@process("artanh")
def artanh(x: Any) -> Any:
    """The inverse of the hyperbolic tangent."""
    return compute(np.arctanh, x=x)
