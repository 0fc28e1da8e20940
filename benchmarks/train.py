"""Training speed and memory: this trainer against a straightforward diffusers-style loop, side by side in one run.

    python -m benchmarks.train [steps]      in a project whose encode stage has run

The straightforward loop is one process that decodes, degrades and encodes in every step (clean and degraded frames and
the reference), trains the whole U-Net in float32 without gradient checkpointing, and updates optimiser and average
tensor by tensor. Same networks, same views; each variant runs in processes of its own, on the GPU if there is one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.training_utils import EMAModel
from torch import Tensor

from svfr.degrade import Recipe, apply_recipe
from svfr.diffusion.edm import sample_sigmas
from svfr.models.folder import load_model_folder
from svfr.models.task import TASKS
from svfr.models.vae import encode_mean
from svfr.params import load_params
from svfr.training.config import TrainConfig
from svfr.training.history import read_history
from svfr.training.index import VIEWS, mean_shape, points_of, read_index
from svfr.training.latents import IDENTITY, ClipLatents
from svfr.training.loop import train
from svfr.training.model import TrainingModel
from svfr.training.objective import Objective
from svfr.training.order import clip_at
from svfr.training.pairs import Batch, PairDataset
from svfr.training.speed import peak_memory_mb

WARM = 2  # first steps that are not counted
GPU = {"precision": "bf16", "gradient_checkpointing": True} if torch.cuda.is_available() else {}
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("straightforward", 1, {}),
    ("trainer", 1, {}),
    ("trainer, lean", 1, {"gradient_checkpointing": True, **GPU}),
    ("trainer, LoRA", 1, {"parts": "lora", **GPU}),
    ("trainer, copies", 2, GPU),
    ("trainer, shards", 2, {"strategy": "fsdp", **GPU}),
]


def straightforward(config: TrainConfig, on_step: Callable[[Any], None]) -> tuple[list[float], float]:
    """What a first script would do: seconds of each step, peak MiB of the process."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    index, bundle, params = read_index(config), load_model_folder(config.base, device), config.params
    model = TrainingModel(bundle, params, mean_shape(index.train)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=params.lr, foreach=False)
    ema, objective = EMAModel(model.exported().values()), Objective(params, bundle.vae.config["scaling_factor"])
    seconds = []
    for step in range(params.steps):
        began = time.perf_counter()
        data = PairDataset(index.train, config)  # new each time: no decoded clip is kept
        losses = objective(model, on_line(data, step, bundle.vae).to(device))
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), params.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
        ema.step(model.exported().values())
        float(losses.total)
        seconds.append(time.perf_counter() - began)
        on_step(losses)
    return seconds, peak_memory_mb()


def on_line(data: PairDataset, position: int, vae: AutoencoderKLTemporalDecoder) -> Batch:
    """Two views of the clip at `position`, every latent computed from pixels."""
    params = data.config.params
    number = clip_at(position, len(data.clips), params.seed)
    clip, frames = data.clips[number], params.frames
    pixels_THWC, pairs = data.pixels(number), clip.pairs[:VIEWS]
    window = pixels_THWC[:frames]
    hq_FCHW = _encode(vae, window)
    identity = ClipLatents.open(data.config.latent_shards, clip.latents).read(IDENTITY)[:1]
    return Batch(
        hq=hq_FCHW.expand(VIEWS, *hq_FCHW.shape),
        lq=torch.stack([_encode(vae, apply_recipe(window, Recipe.from_row(pair))) for pair in pairs]),
        reference=_encode(vae, pixels_THWC[-1:]).expand(VIEWS, -1, -1, -1),
        identity=identity.expand(VIEWS, -1, -1, -1),
        keep=torch.ones(VIEWS),
        task=torch.tensor([[float(pair[bit]) for bit in TASKS] for pair in pairs]),
        sigma=sample_sigmas(VIEWS, params.sigma_mean, params.sigma_std),
        noise=torch.randn(VIEWS, *hq_FCHW.shape),
        points=points_of(clip, 0, frames).expand(VIEWS, -1, -1),
        clip=torch.full((VIEWS,), number),
    )


def _encode(vae: AutoencoderKLTemporalDecoder, pixels_FHWC: np.ndarray) -> Tensor:
    x_NCHW = torch.from_numpy(np.ascontiguousarray(pixels_FHWC)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return encode_mean(vae, x_NCHW).cpu()


def child(name: str, steps: int, runs: str, changes: dict[str, Any]) -> None:
    """Runs one variant with one clip a rank and prints its figures as a line of JSON from rank 0."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    quiet = {"steps": steps, "validate_every": steps + 1, "checkpoint_every": steps + 1, "batch_clips": world}
    # one clip on one rank has no negatives for ULR
    params = load_params().train.model_copy(update={**quiet, "lambda_ulr": 0.0, "accumulate": 1, **changes})
    config = replace(TrainConfig.below(Path(), params), runs=Path(runs))
    torch.set_num_threads(params.threads)
    found = {"mfu": 0.0, "data": 0.0}
    cpu: list[float] = []  # processor time of this process at the end of every step

    def note(row: Any) -> None:
        cpu.append(time.process_time())

    if name == "straightforward":
        seconds, memory = straightforward(config, note)
    else:
        train(config, on_step=note)
        rows = read_history(config.run_dir())[WARM:]
        seconds, memory = [0.0] * WARM + [row["seconds"] for row in rows], rows[-1]["memory_mb"]
        found = {"mfu": median(row["mfu"] for row in rows), "data": median(row["data_seconds"] for row in rows)}
    if os.environ.get("RANK", "0") == "0":
        found |= {"seconds": median(seconds[WARM:]), "cpu": median(np.diff(cpu[WARM - 1 :])), "memory_mb": memory}
        print(json.dumps(found))


def measure(name: str, steps: int, workers: int, changes: dict[str, Any]) -> dict[str, float] | None:
    """One variant in processes of its own; None if it needs more memory than the GPU has."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)] if workers > 1 else []
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, *launcher, __file__, "--child", name, str(steps), runs, json.dumps(changes)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if "OutOfMemoryError" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    """Prints the table; ratios of speed are to the straightforward loop of the same run. CPU s: of one rank, a step."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    gpus = torch.cuda.device_count()
    device = torch.cuda.get_device_name() if gpus else "CPU, 1 thread a worker"
    print(f"{device}, torch {torch.__version__}; medians of {steps - WARM} steps, one clip (2 views) a worker and step")
    columns = {
        "workers": 8,
        "s/step": 9,
        "CPU s": 8,
        "views/s": 9,
        "ratio": 7,
        "MiB/process": 13,
        "floor s": 9,
        "gap": 6,
        "data s": 8,
    }
    print(f"{'loop':<18}" + "".join(f"{name:>{width}}" for name, width in columns.items()))
    base = 0.0
    for name, workers, changes in CASES:
        if gpus and workers > gpus:
            continue
        found = measure(name, steps, workers, changes)
        if found is None:
            print(f"{name:<18}{workers:>8}  out of memory", flush=True)
            continue
        speed = VIEWS * workers / found["seconds"]
        base = base or speed
        line = f"{name:<18}{workers:>8}{found['seconds']:>9.3f}{found['cpu']:>8.3f}{speed:>9.2f}{speed / base:>7.2f}"
        line += f"{found['memory_mb']:>13.0f}"
        if found["mfu"]:
            line += f"{found['seconds'] * found['mfu']:>9.3f}{1 / found['mfu']:>6.1f}{found['data']:>8.3f}"
        print(line, flush=True)
    print("floor: the model's FLOP of a step at the rate of a large matrix product here; gap: achieved / floor")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5]))
    else:
        main()
