"""Fitting model functions to many pixels at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: `model(parameters)`: values (n, pixels) of a model for parameters (k, pixels).
Model = Callable[[np.ndarray], np.ndarray]

#: Most steps of a fit; linear models need two.
STEPS = 100

#: A fit has converged when a step changes the sum of squares or all parameters by less than this, relatively.
TOLERANCE = 1e-10

#: Relative step of central differences: the cube root of the precision balances truncation and rounding.
_DIFFERENCE = float(np.cbrt(np.finfo(np.float64).eps))


def least_squares(model: Model, guess: np.ndarray, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Parameters that minimise the squared differences between model and values, for each pixel by itself.

    Levenberg-Marquardt with scaled damping, all pixels in one go, in float64.

    :param guess: first guess of the k parameters.
    :param values: (n, pixels) observations.
    :param valid: (n, pixels) which observations count.
    :returns: (k, pixels); NaN for pixels with fewer observations than parameters or without a finite fit.
    """
    count, pixels = len(guess), values.shape[1]
    parameters = np.repeat(guess[:, None].astype(np.float64), pixels, axis=1)
    observed = np.where(valid, values, 0.0)
    misfit = _misfit(model(parameters), observed, valid)
    cost = np.sum(misfit**2, axis=0)
    possible = valid.sum(axis=0) >= count
    active = possible & np.isfinite(cost)
    damping = np.full(pixels, 1e-3)
    for _ in range(STEPS):
        index = np.flatnonzero(active)
        if not len(index):
            break
        jacobian = _jacobian(model, parameters, valid)[:, :, index]
        step = _step(jacobian, misfit[:, index], damping[index])
        trial = parameters.copy()
        trial[:, index] += step
        trial_misfit = _misfit(model(trial), observed, valid)
        trial_cost = np.sum(trial_misfit**2, axis=0)
        better = active & (trial_cost <= cost)
        small = np.all(np.abs(trial - parameters) <= TOLERANCE * (np.abs(parameters) + 1e-300), axis=0)
        little = better & (cost - trial_cost <= TOLERANCE * cost)
        parameters[:, better], misfit[:, better] = trial[:, better], trial_misfit[:, better]
        cost = np.where(better, trial_cost, cost)
        damping = np.clip(np.where(better, damping / 10, damping * 10), 1e-15, 1e15)
        active &= ~(little | small | (~better & (damping >= 1e12)))
    parameters[:, ~(possible & np.isfinite(cost))] = np.nan
    return parameters


def _misfit(modelled: np.ndarray, observed: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.where(valid, modelled - observed, 0.0)


def _jacobian(model: Model, parameters: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Derivatives (n, k, pixels) of the model by its parameters, from central differences."""
    derivatives = np.empty((valid.shape[0], *parameters.shape))
    for turn in range(len(parameters)):
        change = np.where(parameters[turn] == 0, 1.0, np.abs(parameters[turn])) * _DIFFERENCE
        upper, lower = parameters.copy(), parameters.copy()
        upper[turn] += change
        lower[turn] -= change
        derivatives[:, turn] = np.where(valid, (model(upper) - model(lower)) / (upper[turn] - lower[turn]), 0.0)
    return np.nan_to_num(derivatives, nan=0.0, posinf=0.0, neginf=0.0)


def _step(jacobian: np.ndarray, misfit: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """The damped Gauss-Newton step (k, pixels), with each parameter scaled by its influence."""
    scale = np.sqrt(np.sum(jacobian**2, axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = jacobian / scale
    normal = np.einsum("nip,njp->pij", scaled, scaled)
    gradient = np.einsum("nip,np->pi", scaled, misfit)
    diagonal = np.arange(normal.shape[1])
    normal[:, diagonal, diagonal] += damping[:, None]
    solved = np.linalg.solve(normal, -gradient[:, :, None])[:, :, 0]
    return np.asarray(solved.T / scale)
