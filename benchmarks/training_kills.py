"""kill -9 of one Ray worker at random instants of a training run, again and again; then the comparison with a calm run.

    python -m benchmarks.training_kills [kills] [seconds]      in a project whose encode stage has run

`seconds` is the longest that a group of workers lives; the start of one takes some of them.

Both runs must end with the same rows of figures and bit for bit the same exported model. While the killed one goes on,
every checkpoint that shows its marker is read in full and must match its digests.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import yaml

from stages.ablation_rows import SHARED
from svfr.artifacts import sha256_file
from svfr.training.checkpoint import DIGESTS, complete_checkpoints
from svfr.training.history import TIMING, read_history

STEPS, EVERY = 200, 5  # optimiser steps, steps between checkpoints


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
    below = psutil.Process(stage.pid).children(recursive=True)
    return [p.pid for p in below if "RayTrainWo" in p.name() and p.status() != psutil.STATUS_ZOMBIE]


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


def disturb(
    stage: subprocess.Popen[bytes], folder: Path, kills: int, longest: float, draw: random.Random
) -> tuple[Counter, int]:
    """Kills one worker of `kills` successive groups; returns where each met the run, and torn checkpoints."""
    met, bad, seen = Counter(), 0, set()
    while stage.poll() is None and sum(met.values()) < kills:
        fresh = [pid for pid in workers(stage) if pid not in seen]
        if not fresh:
            time.sleep(0.05)
            continue
        time.sleep(draw.uniform(0.0, longest))
        alive = [pid for pid in workers(stage) if pid not in seen]
        if not alive:
            continue
        seen |= set(alive)
        os.kill(draw.choice(alive), 9)
        (run,) = (folder / "cache" / "train").iterdir()
        rows = read_history(run)
        met["before step 1" if not rows else f"after step {rows[-1]['step']:.0f}"] += 1
        bad += torn(run)
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
    longest = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    with tempfile.TemporaryDirectory() as scratch:
        calm, killed = (project(Path(scratch) / name, kills) for name in ("calm", "killed"))
        if start(calm).wait():
            raise SystemExit((calm / "log.txt").read_text())
        stage = start(killed)
        met, bad = disturb(stage, killed, kills, longest, random.Random(0))
        if stage.wait():
            raise SystemExit((killed / "log.txt").read_text())
        (a, rows_a, steps_a), (b, rows_b, steps_b) = outcome(calm), outcome(killed)
    print(f"kills {sum(met.values())}: " + ", ".join(f"{where} {count}x" for where, count in met.items()))
    print(f"optimiser steps: calm {steps_a}, killed {steps_b}")
    print(f"rows of figures equal: {rows_a == rows_b}; exported model equal bit for bit: {a == b}")
    print(f"checkpoints with a marker that did not match their digests: {bad}")
    sys.exit(0 if rows_a == rows_b and a == b and not bad and sum(met.values()) == kills else 1)


if __name__ == "__main__":
    main()
