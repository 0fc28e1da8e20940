"""What training starts from, and SVFR's training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from svfr.params.section import Section


class IdentityParams(Section):
    """Where the 49 identity tokens come from."""

    backend: Literal["arcface", "dlib"] = "arcface"
    channels: int = Field(512, ge=1)  # of the map that id_linear projects


class BaseParams(Section):
    """The network that training starts from: SVD-XT's weights, or small networks that are built here."""

    kind: Literal["svd-xt", "tiny"] = "svd-xt"
    svd_folder: str = ""
    unet: dict[str, Any] = {}
    vae: dict[str, Any] = {}
    scheduler: dict[str, Any] = {}
    identity: IdentityParams = IdentityParams()
    steps: int = Field(30, ge=1)  # what the model folder states as its own sampler settings
    guidance: float = Field(2.0, ge=0)
    seed: int = 0


class EncodeParams(Section):
    """Latent cache."""

    chunk: int = Field(8, ge=1)  # frames per encoder call
    lq: bool = False  # also store the degraded views' latents (half precision), so that training encodes nothing
    shard_bytes: int = Field(512 << 20, gt=0)


class RunParams(Section):
    """What every training run has, of whatever model."""

    workers: int = Field(2, ge=1)
    threads: int = Field(1, ge=1)
    gpus_per_worker: float = Field(0.0, ge=0)
    steps: int = Field(1000, ge=1)
    batch_clips: int = Field(2, ge=1)  # clips of a step over all workers
    lr: float = Field(1e-5, gt=0)
    warmup: int = Field(0, ge=0)
    lr_decay: Literal["constant", "cosine"] = "cosine"
    clip_norm: float = Field(1.0, gt=0)
    precision: Literal["no", "bf16"] = "no"
    ema: float = Field(0.999, ge=0, lt=1)
    checkpoint_every: int = Field(500, ge=1)
    keep_checkpoints: int = Field(3, ge=1)
    validate_every: int = Field(500, ge=1)
    loader_workers: int = Field(0, ge=0)  # processes that read, decode and degrade ahead of the step
    max_failures: int = Field(2, ge=0)
    seed: int = 0


class TrainParams(RunParams):
    """SVFR training (paper eq. total loss; values the authors did not publish are ours and said so in the README)."""

    frames: int = Field(16, ge=1)
    parts: Literal["all", "temporal", "lora"] = "all"  # which layers of the U-Net are trained
    lora_rank: int = Field(16, ge=1)
    strategy: Literal["ddp", "fsdp"] = "ddp"  # copies of the model on all workers, or its shards (FSDP2)
    weight_decay: float = Field(0.01, ge=0)
    accumulate: int = Field(1, ge=1)
    gradient_checkpointing: bool = False
    sigma_mean: float = 0.7  # ln sigma ~ N(mean, std); SVD fine-tuning practice
    sigma_std: float = Field(1.6, gt=0)
    weighting: Literal["edm", "snr", "min_snr", "soft_min_snr"] = "edm"  # of the noise loss; see svfr.diffusion.edm
    weighting_gamma: float = Field(5.0, gt=0)  # the SNR at which min_snr and soft_min_snr level off
    lambda_ulr: float = Field(0.01, ge=0)  # SVFR supp. Tab. 1
    lambda_prior: float = Field(0.1, ge=0)
    ulr_tau: float = Field(0.1, gt=0)  # unknown in the paper; ours
    ulr_dim: int = Field(256, ge=1)
    ulr_depth: int = Field(2, ge=1)
    wing_w: float = Field(10.0, gt=0)  # Wing loss paper's defaults, in pixels of a 256 px face
    wing_epsilon: float = Field(2.0, gt=0)
    noise_free_clips: int = Field(0, ge=0)  # this many clips (of all workers) first show noise-free views, then full
    reference_drop: float = Field(0.5, ge=0, le=1)  # paper: reference and identity dropped together
    validation_pairs: int = Field(4, ge=1)
    preview_steps: int = Field(0, ge=0)  # sampling steps of the picture restored at every validation; 0 = none
    prefetch: int = Field(2, ge=1)  # batches that each loader worker keeps ready
    peak_tflops: float = Field(0.0, ge=0)  # of one device, for the utilisation; 0 = measured by a matrix product
