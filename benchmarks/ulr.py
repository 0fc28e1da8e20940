"""What ULR and FPL are for, measured: two runs from one base, with and without ULR, everything else the same.

    python -m benchmarks.ulr [steps] [lambda_ulr]      in a project whose encode stage has run

Printed: cosines of mid-block features of two degradations of one clip and of two clips (centred, the same views for
all), over training clips and over clips of held-out people; the ULR head's own cosines; and FPL's landmark error at
the start and at the end.
"""

from __future__ import annotations

import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from svfr.models.folder import ModelBundle, load_model_folder
from svfr.params import load_params
from svfr.training.config import TrainConfig
from svfr.training.export import export_model
from svfr.training.features import Features, agreement, mid_features
from svfr.training.history import Row, read_history
from svfr.training.loop import train

BATCH, FRAMES = 6, 1  # clips a step: ten negatives for every pair of views


def trained(config: TrainConfig, folder: Path) -> tuple[ModelBundle, list[Row]]:
    """The exported model of a run, and its rows of figures."""
    summary = train(config)
    export_model(config, summary.checkpoint, folder)
    return load_model_folder(folder), read_history(config.run_dir())


def show(name: str, features: Features) -> None:
    """One line a split."""
    for title, splits in (("training", ("train",)), ("held out", ("val", "test"))):
        chosen = torch.tensor([split in splits for split in features.split])
        kept = features.split and [split for split in features.split if split in splits]
        if len(set(features.clip[chosen].tolist())) > 1:
            found = agreement(Features(features.values[chosen], features.clip[chosen], kept))
            figures = f"{found.same:>8.3f}{found.other:>8.3f}{found.gap:>8.3f}{found.nearest:>9.3f}"
            print(f"{name:<22}{title:<10}{figures}", flush=True)


def tenths(rows: list[Row], name: str) -> tuple[float, float]:
    """Means over the first and the last tenth of the steps."""
    values = [row.get(name, math.nan) for row in rows]
    count = max(1, len(values) // 10)
    return fmean(values[:count]), fmean(values[-count:])


def main() -> None:
    """Trains both and prints the table."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    strength = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    changes = {"steps": steps, "batch_clips": BATCH, "frames": FRAMES, "checkpoint_every": steps, "ema": 0.9}
    params = load_params().train.model_copy(update=changes | {"validate_every": steps + 1})
    torch.set_num_threads(params.threads)
    with tempfile.TemporaryDirectory() as scratch:
        base = replace(TrainConfig.below(Path(), params), runs=Path(scratch) / "runs")
        print(f"{steps} steps, {BATCH} clips in 2 views, {FRAMES} frame; cosines of centred mid-block features")
        print(f"{'model':<22}{'clips':<10}{'same':>8}{'other':>8}{'gap':>8}{'nearest':>9}")
        show("before training", mid_features(load_model_folder(base.base), base))
        rows: dict[float, list[Row]] = {}
        for value in (0.0, strength):
            config = replace(base, params=params.model_copy(update={"lambda_ulr": value}))
            model, rows[value] = trained(config, Path(scratch) / f"model-{value}")
            show(f"lambda_ulr = {value:g}", mid_features(model, base))
    print("\nfirst tenth -> last tenth of the steps")
    for value, own in rows.items():
        for name in ("noise", "ulr", "cos_same", "cos_other", "landmark_px"):
            first, last = tenths(own, name)
            if math.isfinite(first):
                print(f"lambda_ulr = {value:<8g}{name:<14}{first:>9.4f} -> {last:.4f}")


if __name__ == "__main__":
    main()
