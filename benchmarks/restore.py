"""Restoration: memory against length, kills, two workers against one, and the share of the time outside the model.

    python -m benchmarks.restore [memory] [kills] [workers] [share]

Each memory figure comes from a process of its own. `share` counts processor seconds, so that other work on the machine
does not show; the model's own time at full size is stated, not measured, see the recorded run.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.restore_kit import Copy, sample_model, write_face_video
from svfr.params import EngineParams, RestoreOptions, RestoreParams
from svfr.restore import Restorer, load_restorer, restore_video

LENGTHS = (100, 3000)
KILLS = 10
OPTIONS = RestoreOptions(steps=1, guidance=1.0, detector="mtcnn", side_by_side=False, contact_sheet=False)
PARTS = {  # function of the profile -> what it is called in the table
    "<method 'decode' of 'av.packet.Packet' objects>": "decode",
    "<method 'reformat' of 'av.video.reformatter.VideoReformatter' objects>": "YCbCr <-> RGB",
    "<method 'encode' of 'av.video.stream.VideoStream' objects>": "encode",
    "svfr/restore/paste.py:paste": "paste",
    "svfr/faces/crop.py:extract": "crop",
    "svfr/faces/detect.py:__call__": "detect",
    "svfr/restore/measure.py:add": "measure",
    "svfr/quality/cuts.py:__call__": "cuts",
}


def memory(root: Path) -> None:
    """Peak memory of one process at two lengths, 512 x 512 crops of 320 x 180 frames."""
    peaks = []
    for frames in LENGTHS:
        video = write_face_video(root / f"{frames}.mp4", frames, 320, 180)
        command = [sys.executable, "-m", "benchmarks.restore", "--child", str(video), str(root / f"{frames}-out.mp4")]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(answer.stdout.splitlines()[-1]))
        print(f"{frames:>6} frames: peak {peaks[-1]:.0f} MiB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


def child(source: Path, target: Path) -> None:
    """One restoration with the network that costs nothing; prints this process's peak memory in MiB."""
    report = restore_video(source, target, model=Restorer(Copy(), "0" * 64), options=OPTIONS)
    assert report.status == "restored", report.message
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def kills(root: Path) -> None:
    """Kills restorations at random instants, each going on with what the last one left; compares the final bytes.

    Children are forked from a process that has the model loaded, so that every instant lies within the work.
    """
    restorer = load_restorer(sample_model(root))
    video = write_face_video(root / "in.mp4", 60, 320, 180)
    options = OPTIONS.model_copy(update={"segment": 16, "steps": 4})
    restorer.detector(options)
    began = time.monotonic()
    whole = restore_video(video, root / "whole" / "o.mp4", model=restorer, options=options)
    seconds, draw, killed = time.monotonic() - began, random.Random(0), 0
    target = root / "killed" / "o.mp4"
    while killed < KILLS:
        child = os.fork()
        if child == 0:
            restore_video(video, target, model=restorer, options=options)
            os._exit(0)
        time.sleep(draw.uniform(0.02, 0.6) * seconds)
        os.kill(child, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            killed += 1
        else:  # it was done: the next kill shall meet unfinished work again
            target.unlink()
    again = restore_video(video, target, model=restorer, options=options)
    left = ", ".join(sorted(path.name for path in target.parent.iterdir()))
    same = again.output_sha256 == whole.output_sha256
    print(f"{killed} kills within {seconds:.0f} s of work: same bytes: {same}; left in the folder: {left}")


def workers(root: Path, files: int = 24) -> None:
    """Seconds of a folder with one Ray worker and with two, in turns, loading the model in each turn included."""
    from stages.cluster import start_ray
    from stages.restore import run

    model = sample_model(root)
    (root / "many").mkdir()
    for number in range(files):
        write_face_video(root / "many" / f"{number}.mp4", 75, 320, 180)
    params = RestoreParams.model_validate(OPTIONS.model_dump())
    seconds: dict[int, list[float]] = {1: [], 2: []}
    start_ray(2)
    for turn, count in enumerate((2, 1, 2)):
        began = time.monotonic()
        reports = run(root / "many", root / f"run-{turn}", model, params, EngineParams(workers=count))
        seconds[count].append(time.monotonic() - began)
        assert {report.status for report in reports} == {"restored"}, [report.message for report in reports]
        busy = sum(report.seconds for report in reports)
        load = os.getloadavg()[0]
        print(f"{count} worker(s): {seconds[count][-1]:.1f} s, {busy:.1f} s in files, load {load:.1f}", flush=True)
    print(f"ratio of medians {median(seconds[1]) / median(seconds[2]):.2f}")


def share(root: Path, frames: int = 100) -> None:
    """Processor seconds a frame of everything outside the model, whole and by part, one face in every frame."""
    for width, height in ((640, 360), (1280, 720), (1920, 1080)):
        video = write_face_video(root / f"{width}.mp4", frames, width, height)
        restorer = Restorer(Copy(), "0" * 64)
        restorer.detector(OPTIONS)
        profile = cProfile.Profile(time.process_time)
        began = time.process_time()
        profile.runcall(restore_video, video, root / f"{width}-out.mp4", model=restorer, options=OPTIONS)
        whole = (time.process_time() - began) / frames * 1000
        parts = {name: value / frames * 1000 for name, value in _parts(profile).items()}
        listed = ", ".join(f"{name} {value:.1f}" for name, value in sorted(parts.items(), key=lambda p: -p[1]))
        print(f"{width} x {height}: {whole:.0f} ms a frame: {listed}", flush=True)


def _parts(profile: cProfile.Profile) -> dict[str, float]:
    """Cumulative seconds of the functions of `PARTS`."""
    found = {}
    for (path, _, name), row in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        label = name if path == "~" else f"{'/'.join(Path(path).parts[-3:])}:{name}"
        if label in PARTS:
            found[PARTS[label]] = row[3]
    return found


def main() -> None:
    """Runs the parts that are named, or all."""
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    for part in sys.argv[1:] or ("memory", "kills", "workers", "share"):
        print(f"-- {part}")
        with tempfile.TemporaryDirectory() as folder:
            {"memory": memory, "kills": kills, "workers": workers, "share": share}[part](Path(folder))


if __name__ == "__main__":
    main()
