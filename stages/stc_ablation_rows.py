"""The variants of BFVR-STC's ablation, and the tables of the paper (arXiv 2411.16468) that show them.

Sizes and numbers of codes are shares of the profile's own. Of Table 4, (a), (f) and the regularisations of other papers
in (d) are left out: they compare networks, data sets and methods that are not this model's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.variants import Variant

_DATA = ("data/clips", "data/pairs")
_FVD_SSIM = ("ssim", "fvd")
_RESTORED = ("psnr", "ssim", "fvd", "ids")
STAGE_ONE = "reports/stc-vqgan"
WITH_PRIOR, WITHOUT_PRIOR = "full", "adversarial"  # Fig. 5


@dataclass(frozen=True)
class StageOne(Variant):
    """A 3D-VQGAN, tried by reconstructing held-out clips."""

    stages: tuple[str, ...] = ("stc_vqgan",)
    shared: tuple[str, ...] = _DATA
    made: tuple[str, ...] = (f"{STAGE_ONE}/metrics.json",)


@dataclass(frozen=True)
class StageTwo(Variant):
    """Code predictors on the project's own stage I, tried by restoring held-out pairs."""

    stages: tuple[str, ...] = ("stc", "evaluate")
    shared: tuple[str, ...] = (*_DATA, "models/stc-vqgan")
    made: tuple[str, ...] = ("reports/eval/metrics.json",)


@dataclass(frozen=True)
class Table:
    """One of the paper's: title, columns (metrics), and rows (label, variant, the paper's values)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float, ...]], ...]
    also: tuple[str, ...] = ()  # columns that the paper has not


def _or_patch(critic: str) -> str:
    return "patch" if critic == "none" else critic


_ADVERSARIAL = {"stc.vqgan.adversarial": _or_patch}
_WITHOUT_PRIOR = {"stc.vqgan.lambda_prior": 0.0}
_ALONE = {"evaluate.model": "models/stc", "evaluate.also": []}

ROWS: tuple[Variant, ...] = (
    StageOne("full", _ADVERSARIAL),
    StageOne("base", {"stc.vqgan.adversarial": "none"} | _WITHOUT_PRIOR),
    StageOne("adversarial", _ADVERSARIAL | _WITHOUT_PRIOR),
    StageOne("conv", _ADVERSARIAL | {"stc.network.fusion": "conv"}),
    StageOne("fft", _ADVERSARIAL | {"stc.network.fusion": "fft"}),
    StageOne("half-codes", _ADVERSARIAL | {"stc.network.codes": lambda codes: codes // 2}),
    StageOne("double-codes", _ADVERSARIAL | {"stc.network.codes": lambda codes: 2 * codes}),
    StageOne("narrow", _ADVERSARIAL | {"stc.network.embedding": lambda width: width // 4}),
    StageTwo("incremental", _ALONE),
    StageTwo("holistic", _ALONE | {"stc.predictor.noise_free_clips": 0}),
    StageTwo("random", _ALONE | {"stc.predictor.vary": "frame"}),
)
_USE = ("psnr", "used_spatial", "used_temporal")
TABLES = (
    Table(
        "Table 4 (b): fusion operation", _FVD_SSIM,
        (("Add", "full", (0.9054, 49.11)), ("Conv", "conv", (0.8799, 97.67)), ("3DFFT", "fft", (0.8741, 118.7))), _USE,
    ),
    Table(
        "Table 4 (c): loss terms of stage I; (d): without and with marginal prior regularisation", _FVD_SSIM,
        (("L_base", "base", (0.8887, 66.82)), ("L_base + L_adv", "adversarial", (0.8914, 65.90)),
         ("L_base + L_adv + L_KL", "full", (0.9054, 49.11))), _USE,
    ),
    Table(
        "Table 4 (e): codebook size and dimension (paper: 1024 codes of 256)", _FVD_SSIM,
        (("1/2 N, D", "half-codes", (0.8919, 69.28)), ("N, D", "full", (0.9054, 49.11)),
         ("2 N, D", "double-codes", (0.8934, 66.29)), ("N, D/4", "narrow", (0.8871, 71.31))), _USE,
    ),
    Table(
        "Table 6: degradation in stage II", _RESTORED,
        (("Rand", "random", (26.92, 0.8424, 156.2, 0.9120)),
         ("Consistent", "incremental", (27.47, 0.8641, 105.1, 0.9312))),
    ),
    Table(
        "Table 7: training strategy in stage II", _RESTORED,
        (("Holistic", "holistic", (27.05, 0.8486, 143.5, 0.9233)),
         ("Incremental", "incremental", (27.47, 0.8641, 105.1, 0.9312))),
    ),
)  # fmt: skip


def figures(variant: Variant, folder: Path) -> dict[str, float]:
    """The figures of a finished variant by metric."""
    told: Mapping[str, Any] = json.loads((folder / variant.made[-1]).read_text(encoding="utf-8"))
    if isinstance(variant, StageOne):
        return dict(told.get("held_out", {}))
    return {metric: values["model"] for metric, values in told["bfr"].items()}
