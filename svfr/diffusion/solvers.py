"""Solvers of the probability-flow ODE: one step from a noise level to the next."""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor

from svfr.diffusion import edm
from svfr.errors import UserError


class Solver(Protocol):
    """x at sigmas[i] -> x at sigmas[i+1]. `memory` is what the frame's previous step returned (None at first)."""

    def __call__(
        self, x: Tensor, v: Tensor, sigmas: list[float], i: int, memory: Tensor | None
    ) -> tuple[Tensor, Tensor | None]: ...


def euler(x: Tensor, v: Tensor, sigmas: list[float], i: int, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """x' = x + (x - x0) / sigma * (sigma' - sigma): the released model's solver, first order, no churn."""
    sigma, following = sigmas[i], sigmas[i + 1]
    x0 = edm.denoised(x, v, sigma)
    return x + (x - x0) / sigma * (following - sigma), None


def dpmpp_2m(x: Tensor, v: Tensor, sigmas: list[float], i: int, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """DPM-Solver++(2M), Lu et al. 2022: second order from the previous step's x0, one network call per step.

    With lambda = -ln sigma and h = lambda' - lambda: x' = sigma'/sigma x - (e^-h - 1) D, where
    D = (1 + 1/2r) x0 - 1/2r x0_previous and r = h_previous / h. First and last step are first order.
    """
    sigma, following = sigmas[i], sigmas[i + 1]
    x0 = edm.denoised(x, v, sigma)
    if following == 0:
        return x0, x0
    h = math.log(sigma / following)
    direction = x0
    if memory is not None:
        r = math.log(sigmas[i - 1] / sigma) / h
        direction = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * memory
    return following / sigma * x - math.expm1(-h) * direction, x0


SOLVERS: dict[str, Solver] = {"euler": euler, "dpmpp_2m": dpmpp_2m}


def solver_named(name: str) -> Solver:
    """The solver of that name; raises `UserError` for an unknown one."""
    if name not in SOLVERS:
        raise UserError(f"unknown solver '{name}': choose among {', '.join(SOLVERS)}")
    return SOLVERS[name]
