"""What ULR and FPL are for, measured: runs from one base, with and without ULR, everything else the same.

    python -m benchmarks.ulr [steps] [lambda_ulr] [seeds]      in a project whose encode stage has run

How much a mid-block says of the clip, whatever the degradation, is read by one probe: a fresh latent transformer,
trained with the ULR loss on the finished model's mid-block maps of the training clips, the model itself left alone.
Its cosines of two degradations of one clip and of two clips are printed for noise that the probe has not seen, over
training clips and over clips of held-out people; and the same for the pooled features without a probe. Then FPL's
landmark error at the start and at the end of both runs. With several seeds (other orders of clips, other noise) the
means over them come last.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from svfr.models.folder import ModelBundle, load_model_folder
from svfr.models.latent_transformer import LatentTransformer
from svfr.params import load_params
from svfr.training.config import TrainConfig
from svfr.training.export import export_model
from svfr.training.features import Features, agreement, mid_maps
from svfr.training.history import Row, read_history
from svfr.training.loop import train
from svfr.training.ulr import ulr_loss

BATCH, FRAMES = 6, 1  # clips a step: ten negatives for every pair of views
DRAWS, PROBE_STEPS = 3, 120


def trained(config: TrainConfig, folder: Path) -> tuple[ModelBundle, list[Row]]:
    """The exported model of a run, and its rows of figures; a finished run is not trained again."""
    summary = train(config)
    export_model(config, summary.checkpoint, folder)
    return load_model_folder(folder), read_history(config.run_dir())


def probe(seen: list[Features]) -> LatentTransformer:
    """A latent transformer trained on maps of the training clips, two views of each in a step."""
    torch.manual_seed(0)
    head = LatentTransformer(seen[0].values.shape[2], dim=64, depth=1)
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
    for _ in range(PROBE_STEPS):
        maps = seen[int(torch.randint(len(seen), ()))]
        rows = torch.cat([_two_of(maps, clip) for clip in maps.clip.unique()])
        loss = ulr_loss(head(maps.values[rows]), maps.clip[rows], 0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head.eval()


def _two_of(maps: Features, clip: Tensor) -> Tensor:
    own = (maps.clip == clip).nonzero()[:, 0]
    return own[torch.randperm(len(own))[:2]]


def part(features: Features, splits: tuple[str, ...]) -> Features:
    """Only the views of `splits`."""
    chosen = torch.tensor([split in splits for split in features.split])
    return Features(features.values[chosen], features.clip[chosen], [s for s in features.split if s in splits])


Cosines = tuple[float, float, float, float]  # same, other, gap, nearest


@torch.no_grad()
def show(name: str, bundle: ModelBundle, config: TrainConfig) -> dict[tuple[str, str], Cosines]:
    """Four lines: pooled and probed, training clips and held-out ones; their figures."""
    shown = {}
    draws = [mid_maps(bundle, config, draw=draw) for draw in range(DRAWS + 1)]
    new = draws[DRAWS]
    with torch.enable_grad():
        head = probe([part(maps, ("train",)) for maps in draws[:DRAWS]])
    readings = {"pooled": new.values.mean((1, 3, 4)), "probe": head(new.values)}
    for kind, values in readings.items():
        for title, splits in (("training", ("train",)), ("held out", ("val", "test"))):
            found = agreement(part(Features(values, new.clip, new.split), splits))
            shown[kind, title] = (found.same, found.other, found.gap, found.nearest)
            line(name, kind, title, shown[kind, title])
    return shown


def line(name: str, kind: str, title: str, found: Cosines) -> None:
    """One line of the table."""
    print(f"{name:<24}{kind:<8}{title:<10}{''.join(f'{value:>8.3f}' for value in found)}", flush=True)


def tenths(rows: list[Row], name: str) -> tuple[float, float]:
    """Means over the first and the last tenth of the steps."""
    values = [row.get(name, math.nan) for row in rows]
    count = max(1, len(values) // 10)
    return fmean(values[:count]), fmean(values[-count:])


def main() -> None:
    """Trains both and prints the table."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    strength = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    changes = {"steps": steps, "batch_clips": BATCH, "frames": FRAMES, "checkpoint_every": steps, "ema": 0.9}
    params = load_params().train.model_copy(update=changes | {"validate_every": steps + 1})
    torch.set_num_threads(params.threads)
    folder = Path("cache") / "ulr"
    base = replace(TrainConfig.below(Path(), params), runs=folder / "runs")
    print(f"{steps} steps, {BATCH} clips in 2 views, {FRAMES} frame; cosines of centred mid-block features")
    print(f"{'model':<24}{'read by':<8}{'clips':<10}{'same':>8}{'other':>8}{'gap':>8}{'nearest':>8}")
    show("before training", load_model_folder(base.base), base)
    found: dict[float, list[dict[tuple[str, str], Cosines]]] = {0.0: [], strength: []}
    rows: dict[float, list[list[Row]]] = {0.0: [], strength: []}
    for seed in range(seeds):
        for value in (0.0, strength):
            config = replace(base, params=params.model_copy(update={"lambda_ulr": value, "seed": seed}))
            model, history = trained(config, folder / f"model-{value:g}-{steps}-{seed}")
            rows[value].append(history)
            found[value].append(show(f"lambda_ulr = {value:g}, seed {seed}", model, base))
    for value, own in found.items() if seeds > 1 else ():
        for kind, title in own[0]:
            every = zip(*(one[kind, title] for one in own), strict=True)
            same, other, gap, nearest = (fmean(values) for values in every)
            line(f"lambda_ulr = {value:g}, mean", kind, title, (same, other, gap, nearest))
    print("\nfirst tenth -> last tenth of the steps, means over seeds")
    for value, histories in rows.items():
        for name in ("noise", "ulr", "cos_same", "cos_other", "landmark_px"):
            first, last = (fmean(side) for side in zip(*(tenths(own, name) for own in histories), strict=True))
            if math.isfinite(first):
                print(f"lambda_ulr = {value:<8g}{name:<14}{first:>9.4f} -> {last:.4f}")


if __name__ == "__main__":
    main()
