"""The losses of BFVR-STC's two stages, and what says how much of a codebook is used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from svfr.models.stc.quantiser import squared_distances


def codebook_loss(z: Tensor, z_q: Tensor, commitment: float, codebook: float) -> Tensor:
    """Eq. 7 with both weights free: latents are drawn to their codes, and codes to their latents."""
    # L_f = w1 |sg(z_q) - z|^2 + w2 |z_q - sg(z)|^2; the released code has w1 = 1, w2 = 0.25
    return commitment * F.mse_loss(z, z_q.detach()) + codebook * F.mse_loss(z_q, z.detach())


def marginal_prior_loss(rows_NC: Tensor, codes_KC: Tensor, power: float = 1.0) -> Tensor:
    """Marginal prior regularisation, Eq. 6: KL(P || U), P the mean soft assignment of latents to codes. 0 upwards.

    The released code softmaxes P once more and averages, which leaves next to no gradient; this is the true KL.
    """
    # s_nk = d_nk^-p / sum_k d_nk^-p,   P_k = mean_n s_nk,   L = sum_k P_k ln(K P_k)
    log_distance = squared_distances(rows_NC, codes_KC).clamp(min=1e-8).log() / 2
    share_K = torch.softmax(-power * log_distance, dim=1).mean(0)
    return (share_K * (share_K * len(codes_KC)).log()).sum()


def index_losses(logits_BLK: Tensor, target_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of predicted code indices, and the share that is right."""
    flat, target = logits_BLK.flatten(0, 1).float(), target_BL.flatten()
    return F.cross_entropy(flat, target), (flat.argmax(1) == target).float().mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the critic: mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def adversarial_loss(fake: Tensor) -> Tensor:
    """Hinge loss of the generator: -mean D(fake)."""
    return -fake.mean()


@torch.no_grad()
def codebook_use(index: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """Of an index map: the share of the codes that occur, and their perplexity."""
    counts_K = torch.bincount(index.flatten(), minlength=codes)
    return (counts_K > 0).float().mean(), perplexity(counts_K)


def perplexity(counts_K: Tensor) -> Tensor:
    """exp(-sum p ln p), 1..K: as many codes, used alike, would be as hard to guess."""
    share = counts_K.float() / counts_K.sum()
    return torch.exp(-torch.xlogy(share, share).sum())
