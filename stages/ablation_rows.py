"""The rows of SVFR's ablation: what each changes in `params.yaml`, and what the paper measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.layout import Layout
from stages.variants import Variant

SHARED = ("data/clips", "data/pairs", "data/latents", "models/base")
METRICS = ("psnr", "ssim", "lpips", "ids", "vidd", "fvd")  # the columns of the paper's table
TASKS = ("bfr", "color", "inpaint")


@dataclass(frozen=True)
class Ablation(Variant):
    """One trained and evaluated variant; `paper` holds the published values, metric -> (bfr, color, inpaint)."""

    title: str = ""
    stages: tuple[str, ...] = ("train", "evaluate")
    shared: tuple[str, ...] = SHARED
    made: tuple[str, ...] = ("reports/train/metrics.json", "reports/eval/metrics.json")
    paper: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def _lambdas(ulr: float, prior: float) -> dict[str, Any]:
    return {"train.lambda_ulr": ulr, "train.lambda_prior": prior, "evaluate.also": []}


def _paper(*triples: tuple[float, float, float]) -> dict[str, tuple[float, float, float]]:
    return dict(zip(METRICS, triples, strict=True))


# SVFR supplement, Table 1 (VFHQ-test); the first five rows in its order
ROWS = (
    Ablation(
        "neither", _lambdas(0.0, 0.0), title="λ₁ = 0, λ₂ = 0",
        paper=_paper((28.936, 22.921, 28.303), (0.854, 0.870, 0.898), (0.242, 0.274, 0.156),
                     (0.881, 0.979, 0.875), (0.489, 0.501, 0.511), (98.781, 223.168, 101.146)),
    ),
    Ablation(
        "strong-ulr", _lambdas(0.1, 0.0), title="λ₁ = 0.1, λ₂ = 0",
        paper=_paper((28.695, 22.788, 28.004), (0.849, 0.861, 0.896), (0.245, 0.277, 0.161),
                     (0.877, 0.976, 0.875), (0.504, 0.503, 0.515), (102.146, 229.516, 104.102)),
    ),
    Ablation(
        "ulr-only", _lambdas(0.01, 0.0), title="λ₁ = 0.01, λ₂ = 0 (without FPL)",
        paper=_paper((29.296, 22.987, 28.337), (0.859, 0.886, 0.900), (0.225, 0.270, 0.155),
                     (0.884, 0.978, 0.879), (0.486, 0.498, 0.508), (90.353, 214.846, 93.615)),
    ),
    Ablation(
        "strong-prior", _lambdas(0.01, 0.5), title="λ₁ = 0.01, λ₂ = 0.5",
        paper=_paper((29.077, 22.908, 28.164), (0.851, 0.878, 0.897), (0.233, 0.273, 0.158),
                     (0.880, 0.977, 0.876), (0.491, 0.498, 0.511), (94.172, 220.583, 98.147)),
    ),
    Ablation(
        "full", _lambdas(0.01, 0.1), title="λ₁ = 0.01, λ₂ = 0.1 (SVFR)",
        paper=_paper((29.563, 23.079, 29.119), (0.862, 0.896, 0.904), (0.223, 0.272, 0.153),
                     (0.902, 0.980, 0.888), (0.479, 0.497, 0.504), (89.316, 204.260, 88.354)),
    ),
    Ablation("prior-only", _lambdas(0.0, 0.1), title="SVFR without ULR"),
    Ablation(
        "no-reference",
        _lambdas(0.01, 0.1) | {"train.reference_drop": 1.0, "evaluate.self_refer": False},
        title="SVFR without SRR",
    ),
)  # fmt: skip
WITH_ULR, WITHOUT_ULR = "full", "prior-only"


def figures(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The training and evaluation figures of a finished row."""
    reports = Layout(folder).reports
    train, held_out = (json.loads((reports / part / "metrics.json").read_text()) for part in ("train", "eval"))
    return train, held_out
