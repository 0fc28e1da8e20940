"""The rows of the ablation: what each changes in `params.yaml`, what the paper measured, and a project folder for each.

A row's folder shares the project's tables, shards and base model by links and has parameters, checkpoints, a model
and reports of its own, so rows can be killed, resumed and run side by side without touching the project's model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stages.layout import Layout
from stages.tracking import tracking_uri
from svfr.artifacts import digest_of, sha256_file, write_text
from svfr.errors import UserError

SHARED = ("data/clips", "data/pairs", "data/latents", "models/base")
METRICS = ("psnr", "ssim", "lpips", "ids", "vidd", "fvd")  # the columns of the paper's table
TASKS = ("bfr", "color", "inpaint")


@dataclass(frozen=True)
class Ablation:
    """One trained and evaluated variant; `paper` holds the published values, metric -> (bfr, color, inpaint)."""

    name: str
    title: str
    train: dict[str, float]
    evaluate: dict[str, bool] = field(default_factory=dict)
    paper: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def _paper(*triples: tuple[float, float, float]) -> dict[str, tuple[float, float, float]]:
    return dict(zip(METRICS, triples, strict=True))


# SVFR supplement, Table 1 (VFHQ-test); the first five rows in its order
ROWS = (
    Ablation(
        "neither", "λ₁ = 0, λ₂ = 0", {"lambda_ulr": 0.0, "lambda_prior": 0.0},
        paper=_paper((28.936, 22.921, 28.303), (0.854, 0.870, 0.898), (0.242, 0.274, 0.156),
                     (0.881, 0.979, 0.875), (0.489, 0.501, 0.511), (98.781, 223.168, 101.146)),
    ),
    Ablation(
        "strong-ulr", "λ₁ = 0.1, λ₂ = 0", {"lambda_ulr": 0.1, "lambda_prior": 0.0},
        paper=_paper((28.695, 22.788, 28.004), (0.849, 0.861, 0.896), (0.245, 0.277, 0.161),
                     (0.877, 0.976, 0.875), (0.504, 0.503, 0.515), (102.146, 229.516, 104.102)),
    ),
    Ablation(
        "ulr-only", "λ₁ = 0.01, λ₂ = 0 (without FPL)", {"lambda_ulr": 0.01, "lambda_prior": 0.0},
        paper=_paper((29.296, 22.987, 28.337), (0.859, 0.886, 0.900), (0.225, 0.270, 0.155),
                     (0.884, 0.978, 0.879), (0.486, 0.498, 0.508), (90.353, 214.846, 93.615)),
    ),
    Ablation(
        "strong-prior", "λ₁ = 0.01, λ₂ = 0.5", {"lambda_ulr": 0.01, "lambda_prior": 0.5},
        paper=_paper((29.077, 22.908, 28.164), (0.851, 0.878, 0.897), (0.233, 0.273, 0.158),
                     (0.880, 0.977, 0.876), (0.491, 0.498, 0.511), (94.172, 220.583, 98.147)),
    ),
    Ablation(
        "full", "λ₁ = 0.01, λ₂ = 0.1 (SVFR)", {"lambda_ulr": 0.01, "lambda_prior": 0.1},
        paper=_paper((29.563, 23.079, 29.119), (0.862, 0.896, 0.904), (0.223, 0.272, 0.153),
                     (0.902, 0.980, 0.888), (0.479, 0.497, 0.504), (89.316, 204.260, 88.354)),
    ),
    Ablation("prior-only", "SVFR without ULR", {"lambda_ulr": 0.0, "lambda_prior": 0.1}),
    Ablation(
        "no-reference", "SVFR without SRR", {"lambda_ulr": 0.01, "lambda_prior": 0.1, "reference_drop": 1.0},
        {"self_refer": False},
    ),
)  # fmt: skip
WITH_ULR, WITHOUT_ULR = "full", "prior-only"


def row_named(name: str) -> Ablation:
    """The row; raises `UserError` for an unknown name."""
    for row in ROWS:
        if row.name == name:
            return row
    raise UserError(f"unknown ablation '{name}': choose among {', '.join(row.name for row in ROWS)}")


def row_folder(root: Path, row: Ablation) -> Path:
    """`cache/ablation/<name>-<digest of parameters and inputs>`, prepared: links, and `params.yaml`."""
    raw = _parameters(root, row)
    named = {shared: _fingerprint(root / shared) for shared in SHARED}
    folder = root / "cache" / "ablation" / f"{row.name}-{digest_of({'params': raw, 'inputs': named})[:12]}"
    for shared in SHARED:
        link = folder / shared
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to((root / shared).resolve(), target_is_directory=True)
    write_text(folder / "params.yaml", yaml.safe_dump(raw, sort_keys=False))
    return folder


def finished(folder: Path) -> bool:
    """Whether the row was trained and evaluated."""
    return all((Layout(folder).reports / part / "metrics.json").is_file() for part in ("train", "eval"))


def figures(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The training and evaluation figures of a finished row."""
    reports = Layout(folder).reports
    train, held_out = (json.loads((reports / part / "metrics.json").read_text()) for part in ("train", "eval"))
    return train, held_out


def _parameters(root: Path, row: Ablation) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    raw["train"] = {**(raw.get("train") or {}), **row.train}
    raw["evaluate"] = {**(raw.get("evaluate") or {}), **row.evaluate}
    register = raw.get("register") or {}
    uri = register.get("tracking_uri", "sqlite:///mlflow.db")
    raw["register"] = {**register, "tracking_uri": tracking_uri(uri, root.resolve())}
    return raw


def _fingerprint(folder: Path) -> str:
    """Digest of a stage's table or model description, which names everything else in the folder by digest."""
    file = folder / (f"{folder.name}.parquet" if folder.parent.name == "data" else "model.json")
    if not file.is_file():
        raise UserError(f"{file} is missing: run the stages before training first (python -m flows.train)")
    return sha256_file(file)
