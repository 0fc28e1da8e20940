"""What each stage trains, behind one `forward`, so that one DDP wrapper synchronises all of it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from svfr.errors import UserError
from svfr.models.stc import VQGAN, CodeRestorer, STCConfig, build_stc
from svfr.models.stc.folder import load_stc_folder
from svfr.models.stc.quantiser import rows_of
from svfr.params import STCNetworkParams, STCPredictorParams, STCVqganParams
from svfr.training.stc.losses import codebook_loss, index_losses, marginal_prior_loss


class Reconstruction(NamedTuple):
    """Stage I: `video` (B,3,T,H,W) in [0,1], its code losses, and the chosen codes."""

    video: Tensor
    code: Tensor
    prior: Tensor
    idx_s: Tensor
    idx_t: Tensor


class Predicted(NamedTuple):
    """Stage II: code loss, cross-entropies, shares of indices that are right, and the predicted codes."""

    code: Tensor
    ce_s: Tensor
    ce_t: Tensor
    right_s: Tensor
    right_t: Tensor
    idx_s: Tensor
    idx_t: Tensor


class StageOne(nn.Module):
    """The 3D-VQGAN with its code losses."""

    def __init__(self, sizes: STCNetworkParams, params: STCVqganParams, side: int) -> None:
        super().__init__()
        self.params = params
        self.network = seeded(stc_config(sizes, side, stage1=True), params.seed)
        if params.lambda_prior == 0:  # only the prior trains the temporal attention
            self.network.quantize.SA.requires_grad_(False)

    def forward(self, hq: Tensor, lq: Tensor) -> Reconstruction:
        """Clean video in [0,1] -> its reconstruction; `lq` is not looked at."""
        network, params = self.network, self.params
        z = network.encode(hq)
        z_q, idx_s, idx_t = network.quantize(z)
        code = codebook_loss(z, z_q, params.lambda_commitment, params.lambda_codebook)
        prior = z.new_zeros(())
        if params.lambda_prior > 0:
            tables = network.quantize.embedding_s.weight, network.quantize.embedding_t.weight
            for rows, table in zip((z, network.quantize.temporal(z)), tables, strict=True):
                prior = prior + marginal_prior_loss(rows_of(rows), table, params.prior_power)
        return Reconstruction(network.generator(z + (z_q - z).detach()).float(), code, prior, idx_s, idx_t)

    @torch.no_grad()
    def codes_from(self, hq: Tensor, draw: torch.Generator) -> None:
        """Makes random latents of `hq` the spatial codes: all codes start where the latents are (ours)."""
        rows = rows_of(self.network.encode(hq)).cpu()
        table = self.network.quantize.embedding_s.weight
        chosen = torch.randint(len(rows), (len(table),), generator=draw)
        jitter = 0.01 * float(rows.std()) * torch.randn(table.shape, generator=draw)  # no two codes alike
        table.copy_(rows[chosen] + jitter)


class StageTwo(nn.Module):
    """The code predictors and the encoder, trained against a frozen stage I."""

    def __init__(self, sizes: STCNetworkParams, params: STCPredictorParams, vqgan: VQGAN) -> None:
        super().__init__()
        side = params.size or _side(vqgan)
        self.network = seeded(stc_config(sizes, side, stage1=False), params.seed)
        _check_start(self.network, vqgan)
        self.network.load_state_dict(vqgan.state_dict(), strict=False)
        for part in (self.network.quantize, self.network.generator):
            part.requires_grad_(False)
        self._teacher = [vqgan.eval().requires_grad_(False)]  # in a list: no part of the state dict

    def forward(self, hq: Tensor, lq: Tensor) -> Predicted:
        """Clean and degraded video in [0,1] -> the losses of the predicted codes."""
        assert isinstance(self.network, CodeRestorer)
        teacher = self._teacher[0].to(hq.device)
        with torch.no_grad():
            z_q, target_s, target_t = teacher.quantize(teacher.encode(hq))
        z = self.network.encode(lq)
        logits_s, logits_t = self.network.logits(z)
        (ce_s, right_s), (ce_t, right_t) = index_losses(logits_s, target_s), index_losses(logits_t, target_t)
        code = torch.nn.functional.mse_loss(z.float(), z_q)
        return Predicted(code, ce_s, ce_t, right_s, right_t, logits_s.argmax(-1), logits_t.argmax(-1))


def start_stage_two(sizes: STCNetworkParams, params: STCPredictorParams, folder: object) -> StageTwo:
    """Stage II on the stage-I model folder. Raises `UserError` if its sizes are others."""
    vqgan, config = load_stc_folder(folder)  # type: ignore[arg-type]
    if config["stc"]["variant"] != "stage1":
        raise UserError(f"{folder} is no stage-I model: run the stc_vqgan stage first")
    return StageTwo(sizes, params, vqgan)


def stc_config(sizes: STCNetworkParams, side: int, *, stage1: bool) -> STCConfig:
    """The network's sizes for frames of `side` pixels. Raises `UserError` for sides that are no multiple of `space`."""
    if side % sizes.space:
        raise UserError(f"frames of {side} pixels: the side must be a multiple of {sizes.space}; set size")
    given = sizes.model_dump(exclude={"variant"})
    return STCConfig("stage1" if stage1 else sizes.variant, tokens=(side // sizes.space) ** 2, **given)


def seeded(config: STCConfig, seed: int) -> VQGAN:
    """A network of random weights that depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_stc(**{name: getattr(config, name) for name in STCConfig.__dataclass_fields__})


def _side(network: VQGAN) -> int:
    return network.config.space * round(network.config.tokens**0.5)


def _check_start(network: VQGAN, vqgan: VQGAN) -> None:
    for name in ("channels", "embedding", "codes", "norm_groups", "fusion", "space"):
        own, found = getattr(network.config, name), getattr(vqgan.config, name)
        if own != found:
            raise UserError(f"stage I was trained with {name} {found}, stc.network asks for {own}: train stage I again")
