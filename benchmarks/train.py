"""Training speed and memory: this trainer against a straightforward diffusers-style loop, side by side in one run.

    python benchmarks/train.py [steps]      in a project whose encode stage has run

The straightforward loop decodes, degrades and encodes in every step (clean and degraded frames), and keeps stock
modules with per-tensor optimiser and EMA updates. Same networks, same batch; each variant runs in its own process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from diffusers.training_utils import EMAModel

from svfr.degrade import Recipe, apply_recipe
from svfr.models.folder import load_model_folder
from svfr.models.vae import encode_mean
from svfr.params import load_params
from svfr.training.config import TrainConfig
from svfr.training.history import read_history
from svfr.training.index import mean_shape, read_index
from svfr.training.loop import peak_memory_mb, train
from svfr.training.model import TrainingModel
from svfr.training.objective import Objective
from svfr.training.pairs import Batch, PairDataset, join

VIEWS, WARM = 2, 2  # views of a clip in a step; first steps that are not counted


def trainer(config: TrainConfig) -> tuple[list[float], float]:
    """The library's own loop: seconds of each step, peak MiB of a process."""
    train(config)
    rows = read_history(config.run_dir())
    return [row["seconds"] for row in rows], rows[-1]["memory_mb"]


def straightforward(config: TrainConfig) -> tuple[list[float], float]:
    """What a first script would do, one process, everything on line."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    index, bundle, params = read_index(config), load_model_folder(config.base, device), config.params
    model = TrainingModel(bundle, params, mean_shape(index.train)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=params.lr, foreach=False)
    ema, objective = EMAModel(model.exported().values()), Objective(params, bundle.vae.config["scaling_factor"])
    seconds = []
    for step in range(params.steps):
        began = time.perf_counter()
        data = PairDataset(index.train, config)  # new each time: no decoded clip is kept
        positions = range(step * params.batch_clips, (step + 1) * params.batch_clips)
        batch = on_line(join([data[p] for p in positions]), data, bundle.vae).to(torch.device(device))
        objective(model, batch).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), params.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
        ema.step(model.exported().values())
        seconds.append(time.perf_counter() - began)
    return seconds, peak_memory_mb()


def on_line(batch: Batch, data: PairDataset, vae: torch.nn.Module) -> Batch:
    """The batch with clean and degraded latents computed from pixels."""
    clean, degraded = [], []
    for view, number in enumerate(batch.clip.tolist()):
        frames_FHWC = data.pixels(number)[: batch.hq.shape[1]]
        pair = data.clips[number].pairs[view % VIEWS]
        for bucket, pixels in ((clean, frames_FHWC), (degraded, apply_recipe(frames_FHWC, Recipe.from_row(pair)))):
            x_NCHW = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
            bucket.append(encode_mean(vae, x_NCHW).cpu())
    batch.hq, batch.lq = torch.stack(clean), torch.stack(degraded)
    return batch


def child(variant: str, steps: int, runs: str) -> None:
    """Runs one variant and prints its figures as a line of JSON from rank 0."""
    params = load_params().train
    quiet = {"steps": steps, "validate_every": steps + 1, "checkpoint_every": steps + 1, "batch_clips": 1}
    config = TrainConfig.below(Path(), params.model_copy(update={**quiet, "lambda_ulr": 0.0, "accumulate": 1}))
    config = TrainConfig(**{**vars(config), "runs": Path(runs)})
    torch.set_num_threads(params.threads)
    seconds, memory = (straightforward if variant == "straightforward" else trainer)(config)
    if os.environ.get("RANK", "0") == "0":
        views = VIEWS * int(os.environ.get("WORLD_SIZE", "1")) / median(seconds[WARM:])
        print(json.dumps({"views_per_second": views, "memory_mb": memory}))


def measure(variant: str, steps: int, workers: int) -> dict[str, float]:
    """One variant in processes of its own."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)] if workers > 1 else []
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, *launcher, __file__, "--child", variant, str(steps), runs]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    """Prints the table; ratios are to the straightforward loop of the same run."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    cases = [("straightforward", 1), ("trainer", 1), ("trainer", 2)]
    print(f"{'loop':<18}{'workers':>8}{'views/s':>10}{'ratio':>8}{'MiB/process':>13}")
    base = 0.0
    for variant, workers in cases:
        found = measure(variant, steps, workers)
        base = base or found["views_per_second"]
        speed = found["views_per_second"]
        print(f"{variant:<18}{workers:>8}{speed:>10.2f}{speed / base:>8.2f}{found['memory_mb']:>13.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
