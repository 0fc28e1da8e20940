"""Configurations of both stages, small enough for seconds, on the project of the training tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svfr.params import STCNetworkParams, STCParams, STCPredictorParams, STCVqganParams
from svfr.training.stc.config import STCTrainConfig

NETWORK = STCNetworkParams(channels=8, embedding=16, codes=32, heads=2, layers=1, feedforward=32, norm_groups=4)
COMMON: dict[str, Any] = {"steps": 4, "frames": 2, "workers": 1, "lr": 2e-3, "checkpoint_every": 100, "seed": 3}


@pytest.fixture
def stc(project: Path, tmp_path: Path) -> Callable[..., STCTrainConfig]:
    """`stc(stage, network={...}, **params)`: a configuration on the project, everything it writes below `tmp_path`."""

    def make(stage: str, network: dict[str, Any] | None = None, **changes: Any) -> STCTrainConfig:
        params = STCParams(
            network=NETWORK.model_copy(update=network or {}),
            vqgan=STCVqganParams(**{**COMMON, "perceptual": "none", "adversarial": "none", **changes})
            if stage == "vqgan"
            else STCVqganParams(**COMMON),
            predictor=STCPredictorParams(**{**COMMON, **changes}) if stage == "predictor" else STCPredictorParams(),
        )
        config = STCTrainConfig.below(project, params, stage)  # type: ignore[arg-type]
        own = {"vqgan": tmp_path / "stc-vqgan", "runs": tmp_path / "runs"}
        out = own["vqgan"] if stage == "vqgan" else tmp_path / "stc"
        return STCTrainConfig(**{**vars(config), **own, "out": out})

    return make
