"""kill -9 of one Ray worker at random instants of a training run, again and again; then the comparison with a calm run.

    python -m benchmarks.training_kills [kills]      in a project whose encode stage has run

A quarter of the kills meet a group of workers that is starting, the others one that is training, within five seconds
of its first step. Both runs must end with the same rows of figures and bit for bit the same exported model. While the
killed one goes on, every checkpoint that shows its marker is read in full and must match its digests.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from stages.ablation_rows import SHARED
from svfr.artifacts import sha256_file
from svfr.training.checkpoint import DIGESTS, complete_checkpoints
from svfr.training.history import TIMING, read_history

STEPS, EVERY = 150, 5  # optimiser steps, steps between checkpoints
STARTING, START, TRAINING = 0.25, 15.0, 5.0  # share of kills during a start; seconds over which kills are spread


def project(folder: Path, kills: int) -> Path:
    """A folder that shares the current project's inputs, with a short run that may restart often."""
    raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    raw["train"] |= {
        "steps": STEPS,
        "checkpoint_every": EVERY,
        "max_failures": kills + 5,
        "frames": 1,
        "workers": 2,
        "batch_clips": 2,
    }
    raw["register"] = {**(raw.get("register") or {}), "tracking_uri": "sqlite:///mlflow.db"}
    for shared in SHARED:
        (folder / shared).parent.mkdir(parents=True, exist_ok=True)
        (folder / shared).symlink_to(Path(shared).resolve(), target_is_directory=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The training stage in `folder`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    log = (folder / "log.txt").open("wb")
    return subprocess.Popen([sys.executable, "-m", "stages.train"], cwd=folder, env=environment, stderr=log)


def workers(stage: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of the training workers that live."""
    try:
        below = psutil.Process(stage.pid).children(recursive=True)
        return [p.pid for p in below if "RayTrainWo" in p.name() and p.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:  # one of them has just ended
        return []


def torn(run: Path) -> int:
    """How many checkpoints with a marker do not match their digests; one that is being pruned is left out."""
    bad = 0
    for path in complete_checkpoints(run / "checkpoints"):
        try:
            digests = json.loads((path / DIGESTS).read_text())
            wrong = any(sha256_file(path / name) != digest for name, digest in digests.items())
        except OSError:
            wrong = True
        bad += wrong and path in complete_checkpoints(run / "checkpoints")
    return bad


def steps_done(folder: Path) -> int:
    """Rows that the run in `folder` has written."""
    return sum(len(read_history(run)) for run in (folder / "cache" / "train").glob("*"))


def disturb(stage: subprocess.Popen[bytes], folder: Path, kills: int, draw: random.Random) -> tuple[list[int], int]:
    """Kills one worker of `kills` successive groups; returns the rows written each time, and torn checkpoints."""
    met: list[int] = []
    bad, seen = 0, set[int]()
    while stage.poll() is None and len(met) < kills:
        fresh = [pid for pid in workers(stage) if pid not in seen]
        if not fresh:
            time.sleep(0.05)
            continue
        if draw.random() < STARTING:
            time.sleep(draw.uniform(0.0, START))
        else:
            before = steps_done(folder)
            while steps_done(folder) <= before and stage.poll() is None:
                before = min(before, steps_done(folder))  # a resumed run first takes back what its checkpoint lacks
                time.sleep(0.02)
            time.sleep(draw.uniform(0.0, TRAINING))
        alive = [pid for pid in workers(stage) if pid not in seen]
        if alive:
            seen |= set(alive)
            os.kill(draw.choice(alive), 9)
            met.append(steps_done(folder))
            bad += sum(torn(run) for run in (folder / "cache" / "train").glob("*"))
            print(f"kill {len(met)}: {met[-1]} steps written", file=sys.stderr, flush=True)
    return met, bad


def outcome(folder: Path) -> tuple[dict[str, str], list[dict[str, float]], int]:
    """The exported files' digests, the rows without timing, and the steps that the model says it had."""
    model = json.loads((folder / "models" / "svfr" / "model.json").read_text())
    (run,) = (folder / "cache" / "train").iterdir()
    rows = [{k: v for k, v in row.items() if k not in TIMING} for row in read_history(run)]
    return model["digests"], rows, model["trained"]["steps"]


def main() -> None:
    """Runs both and prints what was compared."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as scratch:
        calm, killed = (project(Path(scratch) / name, kills) for name in ("calm", "killed"))
        if start(calm).wait():
            raise SystemExit((calm / "log.txt").read_text())
        stage = start(killed)
        met, bad = disturb(stage, killed, kills, random.Random(0))
        if stage.wait():
            raise SystemExit((killed / "log.txt").read_text())
        (a, rows_a, steps_a), (b, rows_b, steps_b) = outcome(calm), outcome(killed)
    print(f"{len(met)} kills, steps written by then: {', '.join(map(str, met))}")
    print(f"optimiser steps: calm {steps_a}, killed {steps_b}")
    print(f"rows of figures equal: {rows_a == rows_b}; exported model equal bit for bit: {a == b}")
    print(f"checkpoints with a marker that did not match their digests: {bad}")
    sys.exit(0 if rows_a == rows_b and a == b and not bad and len(met) == kills else 1)


if __name__ == "__main__":
    main()
