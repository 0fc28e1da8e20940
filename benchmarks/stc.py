"""BFVR-STC: attention by full matrices against ours, and restoration of short and long videos.

    python -m benchmarks.stc              all parts, a few minutes on the CPU
    python -m benchmarks.stc --side 128   seconds at another size

1. Counted at 24 x 512 x 512 on tensors without data: TFLOP of every part, and the most bytes alive at one time.
2. Measured at a size that a CPU manages, the released network with random weights: seconds for 24 frames, peak memory.
3. Measured: peak memory of the restore engine for videos of 48 and 480 frames, a small network.

Each measurement runs in a process of its own, one thread; seconds are processor time.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
import weakref
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

FRAMES, FULL = 24, 512
KINDS = ("full matrix", "ours")
SMALL = {"channels": 8, "embedding": 32, "codes": 64, "layers": 1, "tokens": 256, "norm_groups": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=192, help="pixels of the measured runs")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part, kind = options.part
        measured = {"count": count, "run": lambda kind: run(kind, options.side), "engine": engine}[part](kind)
        print(json.dumps(measured))
        return
    date = datetime.now(UTC).date().isoformat()
    print(f"BFVR-STC, variant bfvr, {platform.machine()}, 1 thread, no GPU, torch {torch.__version__}, {date}\n")
    _show_counts({kind: _own_process("count", kind, options) for kind in KINDS})
    _show_runs({kind: _own_process("run", kind, options) for kind in KINDS}, options.side)
    _show_engine({frames: _own_process("engine", frames, options) for frames in ("48", "480")})


def count(kind: str) -> dict[str, float]:
    """TFLOP and the peak of live bytes of one forward pass at 24 x 512 x 512, on fake tensors."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from svfr.models.stc import build_stc

    use(kind)
    with FakeTensorMode(), torch.no_grad():
        network: Any = build_stc("bfvr").eval()
        video = torch.zeros(1, 3, FRAMES, FULL, FULL)
        with FlopCounterMode(display=False, depth=4) as flops, LiveBytes() as live:
            network(video)
    counts = {name: sum(ops.values()) / 1e12 for name, ops in flops.get_flop_counts().items()}
    parts = {"encoder": counts["CodeRestorer.encoder"], "decoder": counts["CodeRestorer.generator"]}
    parts |= {"total": flops.get_total_flops() / 1e12}
    parts |= {"look-up": parts["total"] - parts["encoder"] - parts["decoder"]}
    return {**parts, "peak_gib": live.peak / 2**30}


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make, for as long as they live; `peak` is the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def run(kind: str, side: int) -> dict[str, float]:
    """Processor seconds of 24 frames, whole process's peak memory, and the floor of the arithmetic."""
    from svfr.models.stc import build_stc

    torch.set_num_threads(1)
    torch.manual_seed(0)
    use(kind)
    network = build_stc("bfvr", tokens=(side // 8) ** 2).eval()
    video = torch.rand(1, 3, FRAMES, side, side)
    with torch.no_grad():
        network(video[:, :, :2])  # loads kernels
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        began = time.process_time()
        with FlopCounterMode(display=False) as flops:
            network(video)
        seconds = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    floor = flops.get_total_flops() / _matmul_rate()
    return {"seconds": seconds, "peak_gib": peak, "added_gib": peak - before, "floor": floor}


def engine(frames: str) -> dict[str, float]:
    """Peak memory of `restore_video` on a video of so many frames, whole picture, 128 x 128."""
    import numpy as np
    import skimage.data

    from svfr.models.stc import build_stc
    from svfr.models.stc.folder import save_stc_folder
    from svfr.params import RestoreOptions
    from svfr.restore import load_restorer, restore_video
    from svfr.video.encode import VideoWriter

    torch.set_num_threads(1)
    picture = skimage.data.astronaut()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        torch.manual_seed(0)
        save_stc_folder(root / "model", build_stc("bfvr", legacy_residual=False, **SMALL), window=24, trained={})
        film = {"time_base": Fraction(1, 24), "fps": Fraction(24)}
        with VideoWriter(root / "in.mp4", 128, 128, **film) as writer:  # type: ignore[arg-type]
            for i in range(int(frames)):
                writer.write(np.ascontiguousarray(picture[:128, i % 200 : i % 200 + 128]), i)
        options = RestoreOptions(region="frame", side_by_side=False, contact_sheet=False)
        restorer = load_restorer(root / "model")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        report = restore_video(root / "in.mp4", root / "out.mp4", model=restorer, options=options)
        assert report.frames == int(frames)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"peak_gib": peak, "added_gib": peak - before, "seconds": report.seconds}


def use(kind: str) -> None:
    """Puts the attention of `kind` into the networks of this process."""
    from svfr.models.stc import attention, lookup

    if kind == KINDS[0]:
        attention.attend = lookup.attend = full_matrix


def full_matrix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v as it is written."""
    return torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, dim=-1) @ value


def _own_process(part: str, kind: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.stc", "--part", part, kind, "--side", str(options.side)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _matmul_rate() -> float:
    """FLOP a second of a product of large matrices on this thread: the best of five."""
    a = torch.rand(1024, 1024)
    best = 0.0
    for _ in range(5):
        began = time.process_time()
        a @ a
        best = max(best, 2 * 1024**3 / (time.process_time() - began))
    return best


def _show_counts(rows: dict[str, dict[str, float]]) -> None:
    print(f"counted, {FRAMES} x {FULL} x {FULL}, float32")
    print(f"{'':<14}{'encoder':>10}{'look-up':>10}{'decoder':>10}{'TFLOP':>10}{'peak GiB':>10}{'x peak':>8}")
    base = rows[KINDS[0]]["peak_gib"]
    for kind, row in rows.items():
        figures = "".join(f"{row[name]:>10.2f}" for name in ("encoder", "look-up", "decoder", "total", "peak_gib"))
        print(f"{kind:<14}{figures}{row['peak_gib'] / base:>8.2f}")


def _show_runs(rows: dict[str, dict[str, float]], side: int) -> None:
    print(f"\nmeasured, {FRAMES} x {side} x {side}, float32, one forward pass")
    print(f"{'':<14}{'s':>8}{'floor s':>9}{'gap':>6}{'peak GiB':>10}{'added':>8}{'x time':>8}{'x added':>9}")
    base = rows[KINDS[0]]
    for kind, row in rows.items():
        ratios = row["seconds"] / base["seconds"], row["added_gib"] / base["added_gib"]
        gap = row["seconds"] / row["floor"]
        print(
            f"{kind:<14}{row['seconds']:>8.1f}{row['floor']:>9.1f}{gap:>6.1f}{row['peak_gib']:>10.2f}"
            f"{row['added_gib']:>8.2f}{ratios[0]:>8.2f}{ratios[1]:>9.2f}"
        )
    print("added: over what the process held before; floor: all FLOP at the rate of a large matrix product here")


def _show_engine(rows: dict[str, dict[str, float]]) -> None:
    print("\nmeasured, restore engine, 128 x 128, windows of 24 frames, small network")
    for frames, row in rows.items():
        print(f"{frames:>4} frames: peak {row['peak_gib']:.3f} GiB, {row['added_gib']:.3f} of it while restoring")
    print(f"peak of 480 frames / peak of 48: {rows['480']['peak_gib'] / rows['48']['peak_gib']:.3f}")


if __name__ == "__main__":
    main()
