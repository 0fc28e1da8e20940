"""BFVR-STC (arXiv 2411.16468): the 3D-VQGAN of stage I and the code predictors that stage II adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from svfr.errors import UserError
from svfr.models.stc.autoencoder import SPACE, SPACES, TIME, Decoder, Encoder
from svfr.models.stc.fusion import Fusion
from svfr.models.stc.lookup import Layer, positions, predictor
from svfr.models.stc.official import Variant, load_official
from svfr.models.stc.quantiser import Quantiser
from svfr.models.stc.unused import add_unused

HEADS_LAYERS: dict[str, tuple[int, int]] = {"bfvr": (2, 9), "deflicker": (4, 6), "stage1": (0, 0)}


class STCOutput(NamedTuple):
    """`video` (B,3,T,H,W) in [0,1]; `idx_s`, `idx_t` (B*T/2,H*W/space^2): the codes it was decoded from."""

    video: Tensor
    idx_s: Tensor
    idx_t: Tensor


@dataclass(frozen=True)
class STCConfig:
    """Sizes of a network; the defaults are the released ones. `heads` and `layers` 0 are the variant's own."""

    variant: Variant
    tokens: int = 4096  # latents of a frame: 64 x 64 for 512 x 512 pixels
    legacy_residual: bool = True
    heads: int = 0
    layers: int = 0
    channels: int = 32  # of the first level; the deepest has eight times as many
    embedding: int = 256
    codes: int = 1024  # entries of each codebook
    feedforward: int = 512
    norm_groups: int = 32
    fusion: Fusion = "add"
    space: int = SPACE  # pixels a side of one latent
    unused: bool = False

    def __post_init__(self) -> None:
        if self.variant not in HEADS_LAYERS:
            raise UserError(f"unknown STC variant {self.variant!r}: choose among {', '.join(HEADS_LAYERS)}")
        sizes = ("tokens", "channels", "embedding", "codes", "feedforward", "norm_groups")
        for name in sizes:
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: at least 1 is needed")
        if self.space not in SPACES:
            raise UserError(f"space is {self.space}: a latent has {' or '.join(map(str, SPACES))} pixels a side")
        heads, layers = self.transformer
        if heads < 0 or layers < 0 or (layers and self.embedding % heads):
            raise UserError(f"{heads} heads do not divide an embedding of {self.embedding} in {layers} layers")

    @property
    def transformer(self) -> tuple[int, int]:
        """Heads and layers of each lookup transformer; (0, 0) in stage I."""
        heads, layers = HEADS_LAYERS[self.variant]
        return (self.heads or heads, self.layers or layers) if layers else (0, 0)


class VQGAN(nn.Module):
    """Stage I: encoder, two codebooks, decoder. `config` says how it was built."""

    def __init__(self, config: STCConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (config.channels, config.embedding, config.norm_groups, config.space)
        self.encoder = Encoder(*sizes)
        self.quantize = Quantiser(config.codes, config.embedding, config.norm_groups, config.fusion)
        self.generator = Decoder(*sizes)

    @property
    def codebook(self) -> Tensor:
        """The spatial codebook (codes,C): what has the device and dtype of all weights."""
        return self.quantize.embedding_s.weight

    def encode(self, video: Tensor) -> Tensor:
        """Video (B,3,T,H,W) in [0,1] -> z (B,C,T/2,H/space,W/space) in the weights' dtype.

        Raises `UserError` unless T is even and H and W are multiples of `space`.
        """
        _check_video(video, self.config.space)
        return self.encoder(video.to(self.codebook))

    def forward(self, video: Tensor) -> STCOutput:
        """Reconstructs the video from its nearest codes; the gradient passes the codebooks straight through.

        Raises `UserError` unless T is even and H and W are multiples of `space`.
        """
        z = self.encode(video)
        z_q, idx_s, idx_t = self.quantize(z)
        return STCOutput(self.generator(z + (z_q - z).detach()).float(), idx_s, idx_t)

    def load_official(self, state: Mapping[str, Any]) -> Self:
        """Loads the released tensors: a checkpoint with `params_ema` or `params`, or its tensors by name.

        A leading `module.` is stripped and what no forward pass reads is dropped; every other name and shape must be
        this network's. Raises `UserError`, which names the right variant if the checkpoint is of another one.
        """
        load_official(self, state)
        return self


class CodeRestorer(VQGAN):
    """Stage II: two transformers predict the codes of the clean video from the latent of the degraded one."""

    def __init__(self, config: STCConfig) -> None:
        super().__init__(config)
        width, (heads, layers) = config.embedding, config.transformer
        self.position_emb_s = nn.Parameter(torch.zeros(config.tokens, width))
        self.position_emb_t = nn.Parameter(torch.zeros(config.tokens, width))
        self.s_ft_layers, self.t_ft_layers = (
            nn.ModuleList(Layer(width, heads, config.feedforward) for _ in range(layers)) for _ in range(2)
        )
        self.s_idx_pred_layer, self.t_idx_pred_layer = predictor(width, config.codes), predictor(width, config.codes)
        if config.unused:
            add_unused(self, config.channels, width, config.norm_groups)

    def logits(self, z_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """z of the degraded video -> logits over the spatial and the temporal codes, (B*T,H*W,codes) each.

        The spatial query is z itself, the temporal one TA(z) + M(z), or R(z) in place of M(z) with legacy_residual.
        """
        query_t = self.quantize.temporal(z_BCTHW, legacy=self.config.legacy_residual)
        height, width = z_BCTHW.shape[-2:]
        spatial = _look_up(z_BCTHW, self.s_ft_layers, positions(self.position_emb_s, height, width))
        temporal = _look_up(query_t, self.t_ft_layers, positions(self.position_emb_t, height, width))
        return self.s_idx_pred_layer(spatial), self.t_idx_pred_layer(temporal)

    def forward(self, video: Tensor) -> STCOutput:
        """Restores a degraded video by its most probable codes. Where frames differ in size from those of training,
        position embeddings are resized.

        With legacy_residual the result depends on T, and on the other items of a batch, as the released one does.
        Raises `UserError` unless T is even and H and W are multiples of `space`.
        """
        z = self.encode(video)
        idx_s, idx_t = (logits.argmax(-1) for logits in self.logits(z))
        b, _, t, h, w = z.shape
        return STCOutput(self.generator(self.quantize.decode(idx_s, idx_t, (b, t, h, w))).float(), idx_s, idx_t)


def build_stc(variant: Variant, *, tokens: int = 4096, legacy_residual: bool = True, **sizes: Any) -> VQGAN:
    """A network of random weights: "bfvr" (restoration), "deflicker" or "stage1" (the 3D-VQGAN alone).

    `tokens`: latents of a frame at the trained size. `legacy_residual`: the temporal query that the released weights
    need (True) or the paper's motion residual (False). `sizes`: other widths of `STCConfig`; `unused=True` also builds
    what the released checkpoints hold and never use, for a state dict of exactly their names.
    Raises `UserError` for an unknown variant or sizes that do not go together.
    """
    unknown = sorted(set(sizes) - set(STCConfig.__dataclass_fields__))
    if unknown:
        raise UserError(f"unknown size {', '.join(unknown)}; known: {', '.join(STCConfig.__dataclass_fields__)}")
    config = STCConfig(variant, tokens, legacy_residual, **sizes)
    return VQGAN(config) if config.variant == "stage1" else CodeRestorer(config)


def config_of(module: VQGAN) -> dict[str, Any]:
    """What `build_stc(**config)` needs to build the same network, JSON-able."""
    return asdict(module.config)


def _look_up(query_BCTHW: Tensor, layers: nn.ModuleList, position_LC: Tensor) -> Tensor:
    """Runs a transformer over the tokens of every frame: (B,C,T,H,W) -> (B*T,H*W,C)."""
    x = query_BCTHW.permute(0, 2, 3, 4, 1).flatten(2, 3).flatten(0, 1)
    for layer in layers:
        x = layer(x, position_LC)
    return x


def _check_video(video: Tensor, space: int) -> None:
    if video.ndim != 5 or video.shape[1] != 3 or 0 in video.shape:
        raise UserError(f"a video (B,3,T,H,W) is needed, got {tuple(video.shape)}")
    t, h, w = video.shape[2:]
    if t % TIME or h % space or w % space:
        raise UserError(
            f"{t} frames of {w} x {h} pixels: the number of frames must be even and both sides multiples of {space}: "
            "repeat the last frame, pad or resize the picture"
        )
    if not video.is_floating_point():
        raise UserError(f"a video of floating point numbers in [0,1] is needed, got {video.dtype}")
