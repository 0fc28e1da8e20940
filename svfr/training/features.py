"""What the mid-block says of a clip under several degradations: the check of ULR in SVFR's t-SNE figure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from svfr.diffusion import edm
from svfr.models.folder import ModelBundle
from svfr.params import TrainParams
from svfr.training.config import TrainConfig
from svfr.training.index import read_clips
from svfr.training.model import TrainingModel
from svfr.training.noise import unet_input
from svfr.training.order import generator_for
from svfr.training.pairs import PairDataset, encode_degraded
from svfr.training.ulr import centred, similarity

SPLITS = ("train", "val", "test")
_PLAIN = {"lambda_ulr": 0.0, "parts": "all", "precision": "no", "gradient_checkpointing": False, "reference_drop": 1.0}


@dataclass(frozen=True)
class Features:
    """Mid-block features of N views, and which clip and split each one is of."""

    values: Tensor  # (N,C), or (N,F,C,h,w) before averaging
    clip: Tensor  # (N,) int64
    split: list[str]


@dataclass(frozen=True)
class Agreement:
    """Mean cosines of centred features, and the share of views whose nearest neighbour shows the same clip."""

    same: float
    other: float
    nearest: float

    @property
    def gap(self) -> float:
        """How much nearer two views of one clip are than views of two clips."""
        return self.same - self.other


def mid_features(bundle: ModelBundle, config: TrainConfig, views: int = 6) -> Features:
    """`mid_maps` averaged over frames and pixels: values (N,C)."""
    maps = mid_maps(bundle, config, views)
    return Features(maps.values.mean((1, 3, 4)), maps.clip, maps.split)


@torch.no_grad()
def mid_maps(bundle: ModelBundle, config: TrainConfig, views: int = 6, draw: int = 0) -> Features:
    """Mid-block output (N,F,C,h,w) for up to `views` degradations of every clip, at the median noise level.

    The same windows, recipes and noise for every model, each view with its own noise, another for every `draw`.
    Reference and identity are left out: they would tell the clip.
    """
    params: TrainParams = config.params.model_copy(update=_PLAIN)
    unet, sigma = bundle.unet, math.exp(params.sigma_mean)
    model = TrainingModel(bundle, params, shape_mean=None).eval()
    device, scaling = next(unet.parameters()).device, float(bundle.vae.config["scaling_factor"])
    kept: list[Tensor] = []
    hook = unet.mid_block.register_forward_hook(lambda module, args, output: kept.append(output))
    values, numbers, splits = [], [], []
    found, _ = read_clips(config, SPLITS)
    for split in SPLITS:
        data = PairDataset(found[split], TrainConfig(**{**vars(config), "params": params}))
        for number, clip in enumerate(found[split]):
            randomness = generator_for("features", clip.row["clip_id"], draw)
            start = (clip.row["n_frames"] - params.frames) // 2
            view = data.view(number, clip.pairs[:views], start, randomness)
            batch = encode_degraded(view.to(device), bundle.vae)
            sigma_B = torch.full_like(batch.sigma, sigma)
            noisy = edm.add_noise(scaling * batch.hq, batch.noise, sigma_B)
            inputs = unet_input(noisy, sigma_B, batch.lq, torch.zeros_like(batch.reference))
            model(inputs, torch.as_tensor(edm.c_noise(sigma_B)), batch.identity, batch.keep, batch.task)
            values.append(kept.pop().unflatten(0, (len(batch.keep), -1)).float().cpu())
            numbers += [len(values) - 1] * len(batch.keep)
            splits += [split] * len(batch.keep)
    hook.remove()
    return Features(torch.cat(values), torch.tensor(numbers), splits)


def agreement(features: Features) -> Agreement:
    """Figures of `features`, centred first as the loss does."""
    unit_NC = centred(features.values)
    same, other = similarity(features.values, features.clip)
    nearest_N = (unit_NC @ unit_NC.T).fill_diagonal_(-torch.inf).argmax(1)
    hits = (features.clip[nearest_N] == features.clip).float().mean()
    return Agreement(float(same), float(other), float(hits))
