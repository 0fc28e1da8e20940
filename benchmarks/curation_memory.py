"""Peak memory of the faces stage's driver and workers as clips grow in number: it should not follow them.

The driver and the engine are the real ones; the worker only makes what a real one would hand over for a video with two
clips of 240 frames: rows with all landmarks, and a megabyte of media a clip. Each size runs in a process of its own.

    python -m benchmarks.curation_memory
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from stages import faces
from stages.actor import Result, Worker
from stages.layout import Layout
from svfr.params import load_params
from svfr.tables import CLIPS, VIDEOS, Row, write_table

SIZES = (10, 100, 1000)  # clips
FRAMES, MEDIA = 240, 1 << 20


class Build:
    """In place of the stage's own: no networks, the same amount of results."""

    def __init__(self, *_: object) -> None:
        """Takes what the stage's own takes."""

    def tools(self) -> SimpleNamespace:
        """None are needed."""
        return SimpleNamespace()

    def __call__(self, tools: SimpleNamespace) -> Worker:
        def work(video: dict[str, Any]) -> Result:
            folder = Path(video["scratch"])
            rows = [clip(video["video_id"], number) for number in range(2)]
            for row in rows:
                (folder / row["clip_id"]).write_bytes(bytes(MEDIA))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            Path("workers").mkdir(exist_ok=True)
            (Path("workers") / str(os.getpid())).write_text(str(peak))
            return Result(rows, large={f"{row['clip_id']}.mp4": folder / row["clip_id"] for row in rows})

        return work


def clip(video_id: str, number: int) -> Row:
    """A clip that every filter keeps."""
    draw = np.random.default_rng([int(video_id, 16), number])
    good = {"n_frames": FRAMES, "duration": 9.6, "face_px": 600.0, "face_proportion": 0.1, "confidence": 1.0}
    good |= {"coverage": 1.0, "cuts": 0, "alpha_min": 1.0, "alpha_max": 1.0, "frontal": 1.0, "text_score": 0.0}
    good |= {"blur": 9.0, "motion": 0.1, "change": 1.0, "start_frame": number * FRAMES, "track_id": number}
    points = draw.random((FRAMES, 136)).round(6)
    return {
        **dict.fromkeys(CLIPS.names),
        **good,
        "clip_id": f"{video_id}{number}",
        "video_id": video_id,
        "points68": points.tolist(),
        "points5": points[:, :10].tolist(),
        "identity": draw.random(512).tolist(),
        "phash": [draw.bytes(32).hex() for _ in range(3)],
    }


def measure(clips: int) -> None:
    """Runs the stage over `clips` clips in the current folder; prints the peak memory of all in MB, as JSON."""
    layout = Layout(Path())
    blank = {field.name: None for field in VIDEOS}
    videos = [blank | {"video_id": f"{n:016x}", "sha256": f"{n:064x}"} for n in range(clips // 2)]
    write_table(layout.table("videos"), "videos", videos)
    faces._Build = Build  # type: ignore[misc,assignment]
    faces.run(load_params(), Path())
    workers = [int(file.read_text()) for file in Path("workers").iterdir()]
    driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"driver": driver, "worker": max(workers)}))


def main() -> None:
    """Prints the table."""
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
        return
    here = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
    print(f"{'clips':>6} {'driver MB':>10} {'worker MB':>10}")
    for clips in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(here / "params.yaml", folder)
            command = [sys.executable, "-m", "benchmarks.curation_memory", str(clips)]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{clips:>6} {found['driver']:>10} {found['worker']:>10}", flush=True)


if __name__ == "__main__":
    main()
