"""The three losses: stated values, agreement with other formulations, gradients against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from svfr.diffusion import edm
from svfr.models.folder import load_model_folder
from svfr.training.config import TrainConfig
from svfr.training.index import mean_shape, read_index
from svfr.training.model import TrainingModel
from svfr.training.noise import noise_loss, unet_input
from svfr.training.objective import Objective
from svfr.training.pairs import PairDataset, encode_degraded, join
from svfr.training.prior import SCALE, landmark_error, prior_loss, wing
from svfr.training.ulr import info_nce, similarity, ulr_loss


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_noise_loss_is_the_weighted_error_of_the_denoised_latents() -> None:
    x0, noise, v = _draw(3, 2, 4, 5, 5), _draw(3, 2, 4, 5, 5, seed=1), _draw(3, 2, 4, 5, 5, seed=2)
    sigma = torch.tensor([0.05, 1.0, 30.0], dtype=torch.float64)
    noisy = edm.add_noise(x0, noise, sigma)
    weighted = edm.loss_weight(sigma) * (edm.denoised(noisy, v, sigma) - x0).square().flatten(1).mean(1)
    torch.testing.assert_close(noise_loss(v, x0, noisy, sigma).double(), weighted, rtol=1e-3, atol=1e-3)


def test_noise_loss_is_zero_for_the_true_v() -> None:
    x0, noise, sigma = _draw(2, 1, 4, 3, 3), _draw(2, 1, 4, 3, 3, seed=1), torch.tensor([0.3, 4.0]).double()
    noisy = edm.add_noise(x0, noise, sigma)
    assert float(noise_loss(edm.v_target(noisy, x0, sigma), x0, noisy, sigma).max()) < 1e-12


def test_unet_input_channels_are_noisy_then_lq_then_reference() -> None:
    noisy, lq, reference = torch.full((1, 2, 4, 1, 1), 3.0), torch.full((1, 2, 4, 1, 1), 5.0), torch.ones(1, 4, 1, 1)
    x = unet_input(noisy, torch.tensor([2.0]), lq, reference)
    assert x.shape == (1, 2, 12, 1, 1)
    torch.testing.assert_close(x[0, 1, :, 0, 0], torch.tensor([3 / math.sqrt(5)] * 4 + [5.0] * 4 + [1.0] * 4))


def test_info_nce_equals_cross_entropy_with_one_positive() -> None:
    feature = _draw(6, 8).float()
    clip = torch.tensor([0, 0, 1, 1, 2, 2])
    unit = torch.nn.functional.normalize(feature - feature.mean(0), dim=1)
    logits = (unit @ unit.T / 0.2).fill_diagonal_(-torch.inf)
    partner = torch.tensor([1, 0, 3, 2, 5, 4])
    expected = torch.nn.functional.cross_entropy(logits, partner)
    torch.testing.assert_close(ulr_loss(feature, clip, 0.2), expected)


def test_info_nce_does_not_take_a_repeated_clip_for_a_negative() -> None:
    feature = torch.nn.functional.normalize(_draw(4, 8), dim=1).float()
    own = torch.arange(4)
    repeated = info_nce(feature, feature, torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 1]), own, 1.0)
    # three views of clip 0 (two positives each), one view of clip 1 (none): only view 3 is a negative
    cosine = feature @ feature.T
    terms = [
        -math.log(math.exp(cosine[i, j]) / (math.exp(cosine[i, j]) + math.exp(cosine[i, 3])))
        for i in range(3)
        for j in range(3)
        if i != j
    ]
    assert float(repeated) == pytest.approx(sum(terms) / 6, rel=1e-5)


def test_similarity_tells_views_of_one_clip_from_others() -> None:
    # centred, these are (3,0), (0,4), (-3,-2), (0,-2)
    feature = torch.tensor([[3.0, 0.0], [0.0, 4.0], [-3.0, -2.0], [0.0, -2.0]]) + 7
    same, other = similarity(feature, torch.tensor([0, 0, 1, 1]))
    cosine = 2 / math.sqrt(13)  # of the last two
    assert float(same) == pytest.approx((0 + cosine) / 2)
    assert float(other) == pytest.approx((-3 / math.sqrt(13) + 0 - cosine - 1) / 4)


def test_what_all_clips_share_does_not_hide_how_they_differ() -> None:
    clip = torch.tensor([0, 0, 1, 1])
    feature = _draw(4, 8).float()
    assert float(ulr_loss(feature + 1000.0, clip, 0.5)) == pytest.approx(float(ulr_loss(feature, clip, 0.5)), rel=1e-3)


def test_wing_has_the_published_values_and_is_continuous() -> None:
    x = torch.tensor([0.0, 1.0, -1.0, 10.0, 10.0001, -20.0], dtype=torch.float64)
    c = 10 - 10 * math.log(6)
    expected = [0.0, 10 * math.log(1.5), 10 * math.log(1.5), 10 - c, 10.0001 - c, 20 - c]
    torch.testing.assert_close(wing(x, 10.0, 2.0), torch.tensor(expected, dtype=torch.float64))


def test_prior_loss_leaves_out_frames_without_landmarks() -> None:
    points, target = torch.full((1, 2, 136), 0.5), torch.full((1, 2, 136), 0.5 + 1 / SCALE)
    target[0, 1] = math.nan
    assert float(prior_loss(points, target, 10, 2)) == pytest.approx(10 * math.log(1.5), rel=1e-4)
    assert float(landmark_error(points, target)) == pytest.approx(math.sqrt(2), rel=1e-4)
    assert float(prior_loss(points, torch.full_like(target, math.nan), 10, 2)) == 0.0


def _finite_differences(function: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-3) -> Tensor:
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        moved = torch.zeros_like(x).view(-1)
        moved[i] = step
        moved = moved.view_as(x)
        gradient.view(-1)[i] = (function(x + moved) - function(x - moved)) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", ["noise", "ulr", "prior"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    x = _draw(4, 6, seed=7).float()
    clip, target = torch.tensor([0, 0, 1, 1]), _draw(4, 1, 6, seed=8).float() * 0.05
    sigma, x0, noise = torch.tensor([0.1, 0.7, 2.0, 9.0]), _draw(4, 6, seed=9).float(), _draw(4, 6, seed=10).float()
    noisy = edm.add_noise(x0, noise, sigma)
    losses = {
        "noise": lambda y: noise_loss(y, x0, noisy, sigma).mean(),
        "ulr": lambda y: ulr_loss(y, clip, 0.5),
        "prior": lambda y: prior_loss(y[:, None] * 0.1, target, 10.0, 2.0),
    }
    loss = losses[name]
    variable = x.clone().requires_grad_()
    loss(variable).backward()
    expected = _finite_differences(loss, x)
    torch.testing.assert_close(variable.grad, expected, rtol=2e-2, atol=2e-3)
    assert float(expected.abs().max()) > 1e-2


@pytest.mark.parametrize(("ulr", "prior"), [(0.0, 0.0), (3.0, 0.0), (0.0, 1.0)])
def test_the_totals_gradient_agrees_with_finite_differences(
    configure: Callable[..., TrainConfig], ulr: float, prior: float
) -> None:
    """Along the gradient's own direction, over all parameters of the networks at once."""
    config = configure(lambda_ulr=ulr, lambda_prior=prior)
    index, bundle = read_index(config), load_model_folder(config.base)
    model = TrainingModel(bundle, config.params, mean_shape(index.train) if prior else None)
    objective = Objective(config.params, float(bundle.vae.config["scaling_factor"]))
    data = PairDataset(index.train, config)
    batch = encode_degraded(join([data[0], data[1]]), bundle.vae)
    objective(model, batch).total.backward()
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = float(torch.stack([p.grad.norm() for p in parameters]).norm())

    def moved(by: float) -> float:
        with torch.no_grad():
            for parameter in parameters:
                parameter += by / norm * parameter.grad
            total = float(objective(model, batch).total)
            for parameter in parameters:
                parameter -= by / norm * parameter.grad
        return total

    step = 3e-4
    assert (moved(step) - moved(-step)) / (2 * step) == pytest.approx(norm, rel=1e-2)
