"""Peak memory of plan `linear` does not depend on the length of the video; measured on whole processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

CHILD = """
import json, resource, sys
import torch
from svfr.diffusion.sampler import SVFRSampler
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae

torch.set_num_threads(1)
torch.manual_seed(0)
frames, parts, scheduler = int(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
sampler = SVFRSampler(build_unet(parts["unet"]).eval(), build_vae(parts["vae"]).eval(), scheduler)
pieces = (torch.rand(16, 3, 32, 32) * 2 - 1 for _ in range(frames // 16))
done = sum(len(p.frames) for p in sampler.stream(pieces, task=["bfr"], steps=2))
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_peak_memory_at_64_and_1024_frames(small_configs: dict[str, Any], configs: Any) -> None:
    peaks, parts = {}, (json.dumps(small_configs), json.dumps(configs["scheduler"]))
    for frames in (64, 1024):
        command = [sys.executable, "-c", CHILD, str(frames), *parts]
        done, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert int(done) == frames
        peaks[frames] = int(peak)
    assert peaks[1024] < 1.10 * peaks[64], f"KiB: {peaks}"
