"""FVD (Unterthiner et al. 2018): the Fréchet distance of I3D features of two sets of clips.

With N clips the covariance has rank N - 1 at most, so the value means something only beside N; a "FVD" of single
clips is a paired feature distance, not this. At least two clips on each side are required.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from svfr.artifacts import sha256_file
from svfr.errors import ItemError, UserError, WeightsMissing
from svfr.metrics.base import Frames
from svfr.weights import require, verify

I3D_WEIGHTS = "i3d_torchscript"
LEAST_FRAMES = 10  # I3D's temporal pooling leaves nothing of a shorter clip


def frechet_distance(a_ND: NDArray[np.float64], b_MD: NDArray[np.float64]) -> float:
    """Fréchet distance of the Gaussians fitted to two feature sets (N,D) and (M,D).

    Raises `UserError` for fewer than two samples on a side or different D.
    """
    if a_ND.ndim != 2 or b_MD.ndim != 2 or a_ND.shape[1] != b_MD.shape[1]:
        raise UserError(f"feature sets {a_ND.shape} and {b_MD.shape} do not match: (N,D) and (M,D) are needed")
    if min(len(a_ND), len(b_MD)) < 2:
        raise UserError(f"a Fréchet distance needs two samples on each side, got {len(a_ND)} and {len(b_MD)}")
    mean_a, mean_b = a_ND.mean(0), b_MD.mean(0)
    cov_a, cov_b = np.atleast_2d(np.cov(a_ND, rowvar=False)), np.atleast_2d(np.cov(b_MD, rowvar=False))
    # d^2 = |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))
    root = np.real(sqrtm(cov_a @ cov_b))
    return float(np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root))


def i3d_file() -> Path:
    """The I3D file. TorchScript is a program, so a file whose digest nobody vouches for is refused like a missing one.

    `svfr weights get` records the digest of what it fetched. Raises `WeightsMissing`.
    """
    state = verify([I3D_WEIGHTS])[0]
    if state.state == "ok" and state.sha256 is None:
        raise WeightsMissing(
            f"{state.path} has no recorded digest and is a program, so it is not run: fetch it from "
            f"{state.weight.url} with `svfr weights get {I3D_WEIGHTS}`"
        )
    return require(I3D_WEIGHTS)


class I3dFeatures:
    """400-d I3D features (Kinetics-400) of clips, from StyleGAN-V's TorchScript file.

    Raises `WeightsMissing` as `i3d_file` does, `UserError` for a file that is no TorchScript archive.
    """

    backend = "i3d-kinetics400"

    def __init__(self, device: str = "cpu", path: Path | None = None) -> None:
        path = path or i3d_file()
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path} is no TorchScript archive: fetch it again (svfr weights get {I3D_WEIGHTS})")
        self.network_sha256, self.device = sha256_file(path), device
        self.net = torch.jit.load(str(path), map_location=device).eval()

    @torch.no_grad()
    def __call__(self, frames_THWC: Frames) -> NDArray[np.float64]:
        """Features (400,) of one clip (T,H,W,3) uint8. Raises `ItemError` `too_short` below 10 frames."""
        if len(frames_THWC) < LEAST_FRAMES:
            raise ItemError("too_short", f"FVD needs clips of at least {LEAST_FRAMES} frames, got {len(frames_THWC)}")
        x_BCTHW = torch.from_numpy(np.ascontiguousarray(frames_THWC)).to(self.device).permute(3, 0, 1, 2)[None].float()
        features = self.net(x_BCTHW, rescale=True, resize=True, return_features=True)
        return np.asarray(features[0].double().cpu().numpy(), np.float64)
