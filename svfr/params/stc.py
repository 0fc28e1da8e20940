"""The second model family, BFVR-STC: its network and both training stages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from svfr.params.section import Section
from svfr.params.train import RunParams


class STCNetworkParams(Section):
    """Sizes of the BFVR-STC network; the defaults are the released ones. `heads` and `layers` 0 are the variant's."""

    variant: Literal["bfvr", "deflicker"] = "bfvr"  # deflicker: brightness only
    legacy_residual: bool = False  # True: the released temporal query, which ties a network to its number of frames
    channels: int = Field(32, ge=1)
    embedding: int = Field(256, ge=1)
    codes: int = Field(1024, ge=2)
    heads: int = Field(0, ge=0)
    layers: int = Field(0, ge=0)
    feedforward: int = Field(512, ge=1)
    norm_groups: int = Field(32, ge=1)
    space: Literal[8, 4, 2] = 8  # pixels a side of one latent
    fusion: Literal["add", "conv", "fft"] = "add"  # of both codes of a place; BFVR-STC Table 4b


class STCStageParams(RunParams):
    """What both training stages of BFVR-STC have in common."""

    batch_clips: int = Field(1, ge=1)  # clips of a step over all workers
    frames: int = Field(24, ge=2, multiple_of=2)
    size: int = Field(0, ge=0, multiple_of=8)  # pixels a side that crops are shrunk to; 0 = as they are
    lr: float = Field(2e-5, gt=0)
    lr_decay: Literal["constant", "cosine"] = "constant"
    ema: float = Field(0.995, ge=0, lt=1)
    validation_clips: int = Field(4, ge=1)


class STCVqganParams(STCStageParams):
    """Stage I, the 3D-VQGAN (BFVR-STC Eq. 5-8); weights are those of the released options."""

    perceptual: Literal["none", "lpips-vgg"] = "lpips-vgg"  # none: L1 alone, no file needed
    adversarial: Literal["none", "patch", "dinov2"] = "dinov2"  # patch: a small critic of our own, no file needed
    lambda_perceptual: float = Field(1.0, ge=0)
    lambda_commitment: float = Field(1.0, ge=0)  # |sg(z_q) - z|^2
    lambda_codebook: float = Field(0.25, ge=0)  # |z_q - sg(z)|^2
    lambda_prior: float = Field(0.1, ge=0)
    prior_power: float = Field(1.0, gt=0)  # of the inverse distance: 1 in the paper, 2 in the released code
    lambda_adversarial: float = Field(0.4, ge=0)
    adversarial_from: int = Field(2001, ge=0)  # the step at which the critic comes in
    codes_from_data: bool = False  # ours: the spatial codebook starts as latents of the first clips


class STCPredictorParams(STCStageParams):
    """Stage II, the code predictors (BFVR-STC Eq. 10); weights are those of the released options."""

    lambda_code: float = Field(10.0, ge=0)
    lambda_ce: float = Field(1.0, ge=0)
    noise_free_clips: int = Field(0, ge=0)  # this many clips (of all workers) are first shown without noise
    vary: Literal["view", "frame"] = "view"  # frame: another degradation in every frame, whatever the view says
    preset: str = ""  # degradation preset; empty = the bfr views of the pairs table ("flicker" for variant deflicker)


class STCParams(Section):
    """The second model family."""

    network: STCNetworkParams = STCNetworkParams()
    vqgan: STCVqganParams = STCVqganParams()
    predictor: STCPredictorParams = STCPredictorParams()
    name: str = "stc"  # in the registry; where that lies, and how large uploads may be, says the section register
    metric: str = "bfr/psnr"  # as register.metric
