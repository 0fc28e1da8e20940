"""Noise levels of a sampling run: Karras et al. 2022, equation 5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svfr.errors import UserError

_REQUIRED = {"prediction_type": "v_prediction", "timestep_type": "continuous", "use_karras_sigmas": True}


@dataclass(frozen=True)
class KarrasSchedule:
    """Range and curvature of the noise levels; defaults of SVD-XT's scheduler."""

    sigma_min: float = 0.002
    sigma_max: float = 700.0
    rho: float = 7.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> KarrasSchedule:
        """Reads a diffusers scheduler config. Entries the Karras schedule makes idle (betas and such) are ignored.

        Raises `UserError` for another kind of schedule, an empty range, or what is no number.
        """
        if not isinstance(config, Mapping):
            raise UserError(f"scheduler config is {config!r}; a mapping such as {{'sigma_max': 700.0}} is needed")
        for key, value in _REQUIRED.items():
            if config.get(key, value) != value:
                raise UserError(f"scheduler config has {key} {config[key]!r}; only {value!r} is supported")
        values = {key: config[key] for key in ("sigma_min", "sigma_max", "rho") if config.get(key) is not None}
        if not all(isinstance(value, Real) and math.isfinite(value) for value in values.values()):
            raise UserError(f"scheduler config has {values}; finite numbers are needed")
        schedule = cls(**{key: float(value) for key, value in values.items()})
        if not 0 < schedule.sigma_min < schedule.sigma_max or schedule.rho <= 0:
            raise UserError(f"scheduler config: 0 < sigma_min < sigma_max and 0 < rho are needed, not {schedule}")
        return schedule

    def sigmas(self, steps: int) -> Tensor:
        """Noise levels (steps + 1,), float32, descending from sigma_max to sigma_min and then 0. Needs steps >= 1."""
        if steps < 1:
            raise UserError(f"steps is {steps}; at least 1 is needed")
        # sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho
        ramp = np.linspace(0, 1, steps)
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        levels = (high + ramp * (low - high)) ** self.rho
        return torch.from_numpy(np.append(levels, 0.0)).float()

    def levels(self, steps: int, strength: float = 1.0) -> Tensor:
        """The last int(steps * strength) noise levels and 0: where an SDEdit-style start at `strength` begins.

        Raises `UserError` if strength is outside (0,1] or leaves no step.
        """
        if not 0 < strength <= 1:
            raise UserError(f"strength is {strength}; a number in (0, 1] is needed")
        sigmas = self.sigmas(steps)
        effective = min(int(steps * strength), steps)
        if effective < 1:
            raise UserError(f"strength {strength} leaves none of the {steps} steps: raise one of the two")
        return sigmas[steps - effective :]
