"""Curation speed: the faces stage against the usual loop, side by side in one run, and what each step costs.

The loop is what published scripts do: OpenCV's reader, the detector on every frame, one frame at a time, landmarks in
every frame by itself, then the same measurements and encoding as the stage. Both use one core and the same networks
and see the same frames, in turn, video by video; the stage then runs whole, with one worker and with two, on an empty
cache.

    python -m benchmarks.curation                 # the sample set
    python -m benchmarks.curation --sources DIR   # your own videos

Floor: what the steps alone take, one after the other. Efficiency is floor / whole, where the whole is counted from the
moment that the workers have loaded their networks, which is given beside it: the time of the stage on the shortest of
the videos alone. Frames are source frames, of which a step may see only some.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from benchmarks.curation_clock import Clock, Timed, timed_stage
from stages import download, face_clips, face_tracks, faces
from stages.actor import Worker
from stages.layout import Layout
from stages.media import media_file, store_path
from stages.sources import write_sources
from svfr.errors import ItemError
from svfr.faces.crop import square_crop
from svfr.faces.track import track_faces
from svfr.params import Params, load_params
from svfr.sample import write
from svfr.tables import Row


def timed_tools(params: Params, layout: Layout, clock: Clock | None) -> tuple[Worker, face_clips.Tools]:
    """The stage's worker with its own networks, each timed if there is a clock."""
    build = faces._Build(params.faces, layout, store_path(params.engine))
    tools = build.tools()
    if clock is not None:
        names = ("detect", "landmarks", "identity", "text", "frontal view")
        timed = [Timed(tool, name, clock) for name, tool in zip(names, vars(tools).values(), strict=True)]
        tools = face_clips.Tools(*timed)  # type: ignore[arg-type]
    return build(tools), tools


def usual_loop(path: Path, video: Row, params: Params, tools: face_clips.Tools, folder: Path) -> None:
    """Detects on every frame, one at a time; then crops, measures and encodes the same clips as the stage would."""
    options = params.faces
    reader = cv2.VideoCapture(str(path))
    frames, found = [], []
    while (read := reader.read())[0]:
        rgb = np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)
        found.append((len(frames), tools.detect([rgb])[0]))
        frames.append(rgb)
    for track in track_faces(found, max_gap=3, min_score=options.min_score):
        for start, stop in face_tracks._spans(len(track.frames), options):
            boxes = track.boxes[start:stop]
            crop = square_crop(boxes, video["width"], video["height"], options.enlarge)
            side = (crop[2] - crop[0]) * video["width"]
            if stop - start < options.min_frames or side < options.min_face_px:
                continue
            candidate = face_tracks._candidate(video, track, start, stop, options, tools.detect)
            clip = face_clips._Measuring(candidate, options, tools, folder)
            for number in range(start, stop):
                rgb = frames[track.frames[number]]
                landmarks = tools.landmarks(rgb, [clip.box])[0]
                clip.add(face_clips.Frame(number, number, rgb), landmarks)
            clip.finish()


def side_by_side(params: Params, layout: Layout, rounds: int) -> tuple[Clock, list[float], list[float], int]:
    """CPU seconds of the stage's worker and of the loop in each round, the steps' seconds of one round, and frames."""
    videos = layout.read("videos")
    store = store_path(params.engine)
    worker, tools = timed_tools(params, layout, None)
    ours, theirs = [], []
    for _ in range(rounds):
        seconds = [0.0, 0.0]
        for video in videos:
            path = media_file(video, layout, store)
            for which in (0, 1):
                with tempfile.TemporaryDirectory() as folder:
                    start = time.process_time()
                    try:
                        if which == 0:
                            worker({**video, "scratch": folder})
                        else:
                            usual_loop(path, video, params, tools, Path(folder))
                    except ItemError as error:
                        if error.code != "no_face":
                            raise
                    seconds[which] += time.process_time() - start
        ours.append(seconds[0])
        theirs.append(seconds[1])
    clock = Clock()
    with timed_stage(clock):
        worker, _ = timed_tools(params, layout, clock)
        for video in videos:
            with tempfile.TemporaryDirectory() as folder, clock.step("the rest"), suppress(ItemError):
                worker({**video, "scratch": folder})
    return clock, ours, theirs, sum(video["n_frames"] for video in videos)


WHOLE = """
import contextlib, time
from pathlib import Path
from stages import faces
from stages.cluster import start_ray
from svfr.errors import UserError
from svfr.params import load_params
params = load_params()
start_ray(params.engine.workers)
start = time.monotonic()
with contextlib.suppress(UserError):  # the shortest video alone may give no clip
    faces.run(params, Path())
seconds = time.monotonic() - start
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) / 1024)
"""


def whole_stage(root: Path, workers: int, videos: list[Row]) -> tuple[float, float]:
    """(seconds, MB of the driver) of the stage over `videos` on an empty cache; starting Ray is not counted."""
    Layout(root).write("videos", videos, [])
    shutil.rmtree(root / "cache" / "items", ignore_errors=True)
    sections = yaml.safe_load((root / "params.yaml").read_text())
    sections["engine"] |= {"workers": workers, "cache": "cache/items"}
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", WHOLE], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    seconds, megabytes = done.stdout.splitlines()[-1].split()
    return float(seconds), float(megabytes)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", help="folder of videos; default: the sample set")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "params.yaml").write_text(Path("params.yaml").read_text())
        sources = Path(given.sources).resolve() if given.sources else root / "in"
        if not given.sources:
            write.write_samples(sources)
        write_sources(str(sources), root)
        here = Path.cwd()
        os.chdir(root)
        try:
            report(root, given.rounds)
        finally:
            os.chdir(here)


def report(root: Path, rounds: int) -> None:
    """Runs everything below `root` and prints it."""
    params, layout = load_params(), Layout(root)
    download.run(params, root)
    clock, ours, theirs, frames = side_by_side(params, layout, rounds)
    floor = sum(seconds for name, seconds in clock.seconds.items() if name != "the rest")
    print(f"{frames} source frames; detector {params.faces.detector} on every {params.faces.key_every}th\n")
    print(f"{'step':<15} {'ms a frame':>11} {'frames/s of a core':>19} {'share':>7}")
    total = sum(clock.seconds.values())
    for name, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        print(f"{name:<15} {1e3 * seconds / frames:>11.2f} {frames / seconds:>19.0f} {seconds / total:>7.1%}")
    print(f"\none core, {rounds} rounds (median)     frames/s")
    print(f"  steps alone (floor)         {frames / floor:>8.1f}")
    print(f"  the stage's worker          {frames / statistics.median(ours):>8.1f}")
    print(f"  detection on every frame    {frames / statistics.median(theirs):>8.1f}")
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})\n")
    videos, single = layout.read("videos"), None
    shortest = min(videos, key=lambda video: video["n_frames"])
    for workers in (1, 2):
        loading, _ = whole_stage(root, workers, [shortest])
        seconds, megabytes = whole_stage(root, workers, videos)
        seconds -= loading
        single = single or seconds
        print(
            f"whole stage, {workers} worker{'s' * (workers > 1)}: {frames / seconds:6.1f} frames/s "
            f"after {loading:.1f} s of loading, efficiency {floor / seconds / workers:.2f}, "
            f"{single / seconds:.2f} times one worker, driver {megabytes:.0f} MB"
        )
    print(json.dumps({"peak_MB_of_this_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
