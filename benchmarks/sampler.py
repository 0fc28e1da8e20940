"""The sampler's plans side by side: calls, TFLOP, seconds, peak memory, as ratios of one run.

    python benchmarks/sampler.py              small random networks on the CPU, about a minute
    python benchmarks/sampler.py --full       the full-size networks, random weights, 512 x 512, bfloat16, on CUDA
    python benchmarks/sampler.py --out FILE   also writes the figures as JSON

Every variant restores the same clip twice as the released driver does (first window, then all frames), each in a
process of its own, so that peak memory is its own. On the CPU, seconds are processor time, so that what else the
machine does counts little. The lossy options restore it once, against plan `linear`.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

VARIANTS = ("official, naive", "official, optimised", "linear")
LOSSY = (
    "linear, one pass",
    "dpmpp_2m, a third of the steps",
    "guidance below sigma 20 only",
    "strength 0.7",
    "deep features every 2nd step",
)
SMALL_UNET = {
    "block_out_channels": [32, 64, 96, 96],
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "cross_attention_dim": 48,
    "num_attention_heads": [2, 4, 6, 6],
}
SMALL_VAE = {"block_out_channels": [32, 32, 32, 64], "layers_per_block": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="full-size networks on CUDA")
    parser.add_argument("--frames", type=int, help="frames of the clip (default 24, or 16 with --full)")
    parser.add_argument("--steps", type=int, nargs=2, help="steps of both passes (default 10 6, or 50 30 with --full)")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.frames = options.frames or (16 if options.full else 24)
    options.steps = options.steps or ([50, 30] if options.full else [10, 6])
    if options.variant:
        print(json.dumps(_measure(options)))
        return
    rows = {name: _in_own_process(name, options) for name in (*VARIANTS, *LOSSY)}
    record = {"date": datetime.now(UTC).date().isoformat(), "full": options.full, "frames": options.frames}
    record |= {"steps": options.steps, "machine": _machine(), "rows": rows}
    _show(record)
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n")


def _in_own_process(variant: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--variant", variant, "--frames", str(options.frames)]
    command += ["--steps", *map(str, options.steps)] + (["--full"] if options.full else [])
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _measure(options: argparse.Namespace) -> dict[str, float]:
    """Seconds and memory of one run, calls and TFLOP of another, and the deviation of lossy options."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    place = "cuda" if options.full else "cpu"
    unet, vae = _networks(options.full)
    side = 512 if options.full else 64
    lq = torch.rand(options.frames, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    calls: list[int] = []

    def before(*_: Any) -> None:
        calls.append(1)

    unet.register_forward_pre_hook(before)
    run = _runner(options, unet, vae, lq)
    peak_flops = _matmul_rate(place)
    if options.full:
        run(options.variant)  # warms the kernels up
        torch.cuda.reset_peak_memory_stats()
        calls.clear()
    clock = _clock(place)
    start = clock()
    frames = run(options.variant)
    seconds = clock() - start
    count = len(calls)
    memory = (
        torch.cuda.max_memory_allocated() if options.full else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    with FlopCounterMode(display=False) as counter:
        run(options.variant)
    tera = counter.get_flop_counts()[type(unet).__name__]
    result = {"calls": count, "tflop": sum(tera.values()) / 1e12, "seconds": seconds, "peak_gib": memory / 2**30}
    result["floor_seconds"] = counter.get_total_flops() / peak_flops
    if options.variant in LOSSY[1:]:
        exact = run(LOSSY[0])
        result["psnr_to_linear"] = float(-10 * torch.log10(((frames - exact).clamp(-2, 2) / 2).square().mean()))
    return result


def _runner(options: argparse.Namespace, unet: Any, vae: Any, lq: Any) -> Any:
    """variant -> restored frames."""
    import torch

    from svfr.diffusion.sampler import SVFRSampler
    from svfr.diffusion.selfref import restore_self_referred
    from svfr.diffusion.shortcuts import Shortcuts
    from svfr.models.folder import DEFAULT_SCHEDULER

    first, second = options.steps
    tokens = torch.randn(49, unet.config["cross_attention_dim"], generator=torch.Generator().manual_seed(1))
    batch = 1 if options.full else 2

    def run(variant: str) -> Any:
        if variant in VARIANTS:
            sampler = SVFRSampler(unet, vae, DEFAULT_SCHEDULER, optimise="naive" not in variant, window_batch=batch)
            plan = "linear" if variant == "linear" else "official"
            passes = {"first_steps": first, "steps": second, "tokens": lambda reference: tokens}
            return restore_self_referred(sampler, lq, task=["bfr"], plan=plan, **passes).frames
        shortcuts = {LOSSY[1]: Shortcuts(solver="dpmpp_2m"), LOSSY[2]: Shortcuts(guidance_interval=(0.0, 20.0))}
        shortcuts[LOSSY[4]] = Shortcuts(deep_every=2)
        sampler = SVFRSampler(unet, vae, DEFAULT_SCHEDULER, window_batch=batch, shortcuts=shortcuts.get(variant))
        steps = max(second // 3, 2) if variant == LOSSY[1] else second
        strength = 0.7 if variant == LOSSY[3] else 1.0
        condition = {"reference": lq[0], "id_tokens": tokens}
        return sampler(lq, task=["bfr"], steps=steps, strength=strength, **condition).frames

    return run


def _networks(full: bool) -> tuple[Any, Any]:
    import torch

    from svfr.models.unet import SVD_XT_CONFIG, build_unet
    from svfr.models.vae import SVD_VAE_CONFIG, build_vae

    torch.manual_seed(0)
    with torch.device("cuda" if full else "cpu"):
        unet = build_unet(SVD_XT_CONFIG if full else SVD_XT_CONFIG | SMALL_UNET)
        vae = build_vae(SVD_VAE_CONFIG if full else SVD_VAE_CONFIG | SMALL_VAE)
    if full:
        for network in (unet, vae):
            torch.nn.Module.to(network, "cuda", torch.bfloat16)
    return unet.eval().requires_grad_(False), vae.eval().requires_grad_(False)


def _matmul_rate(place: str) -> float:
    """FLOP per second of a large matrix product: what the machine can do at best."""
    import torch

    size, dtype = (8192, torch.bfloat16) if place == "cuda" else (1024, torch.float32)
    a = torch.randn(size, size, device=place, dtype=dtype)
    best, clock = float("inf"), _clock(place)
    for _ in range(5):
        start = clock()
        product = a @ a
        float(product[0, 0])
        best = min(best, clock() - start)
    return 2 * size**3 / best


def _clock(place: str) -> Callable[[], float]:
    return time.process_time if place == "cpu" else time.perf_counter


def _machine() -> str:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {torch.get_num_threads()} threads, {gpu}, torch {torch.__version__}"


def _show(record: dict[str, Any]) -> None:
    print(f"{record['frames']} frames, steps {record['steps']}, {record['machine']}, {record['date']}")
    print(
        f"{'':32}{'calls':>7}{'TFLOP':>10}{'s':>9}{'peak GiB':>10}{'floor s':>9}{'gap':>6}{'x TFLOP':>9}{'x time':>8}"
    )
    for name, row in record["rows"].items():
        base = record["rows"][VARIANTS[0] if name in VARIANTS else LOSSY[0]]
        print(
            f"{name:32}{row['calls']:7}{row['tflop']:10.4g}{row['seconds']:9.1f}{row['peak_gib']:10.2f}"
            f"{row['floor_seconds']:9.1f}{row['seconds'] / row['floor_seconds']:6.1f}"
            f"{row['tflop'] / base['tflop']:9.2f}{row['seconds'] / base['seconds']:8.2f}"
            + (f"   {row['psnr_to_linear']:.1f} dB to plan linear" if "psnr_to_linear" in row else "")
        )
    print("floor: all FLOP of the run at the rate of a large matrix product here; gap: seconds / floor")


if __name__ == "__main__":
    main()
