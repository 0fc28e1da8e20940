"""The losses' values and gradients: a collapsed codebook recovers, a critic moves the generator."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from svfr.errors import UserError, WeightsMissing
from svfr.models.stc.quantiser import nearest
from svfr.params import STCNetworkParams, STCVqganParams
from svfr.training.stc.critic import DinoCritic, PatchCritic, build_critic, dinov2, load_dinov2
from svfr.training.stc.data import Batch
from svfr.training.stc.losses import (
    adversarial_loss,
    codebook_loss,
    codebook_use,
    critic_loss,
    index_losses,
    marginal_prior_loss,
)
from svfr.training.stc.model import StageOne
from svfr.training.stc.objective import VqganObjective, trainable
from svfr.training.stc.perceptual import Perceptual


def test_codebook_loss_pulls_latents_and_codes_by_their_own_weights() -> None:
    z, z_q = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.0, 4.0], requires_grad=True)
    loss = codebook_loss(z, z_q, 1.0, 0.25)
    loss.backward()
    assert float(loss) == pytest.approx(1.25 * 2.5)
    assert z.grad is not None
    assert z_q.grad is not None
    assert torch.allclose(z.grad, z - z_q)
    assert torch.allclose(z_q.grad, 0.25 * (z_q - z))


def test_prior_loss_is_the_divergence_from_even_use() -> None:
    rows, codes = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 3.0]])
    share = F.normalize(1 / torch.cdist(rows, codes), p=1, dim=1).mean(0)
    expected = float((share * (share * 3).log()).sum())
    assert float(marginal_prior_loss(rows, codes)) == pytest.approx(expected, rel=1e-5)
    even = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert float(marginal_prior_loss(torch.zeros(4, 2), even)) == pytest.approx(0, abs=1e-6)
    assert math.isfinite(float(marginal_prior_loss(codes, codes)))  # distances of zero


def _collapsed(prior: float) -> tuple[float, float]:
    """Share of used codes before and after training a codebook that starts with one code near all latents."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(16, 8, generator=draw)
    rows = centres[torch.randint(16, (512,), generator=draw)] + 0.1 * torch.randn(512, 8, generator=draw)
    codes = 8 + 0.1 * torch.randn(32, 8, generator=draw)
    codes[0] = rows.mean(0)
    table = torch.nn.Parameter(codes)
    optimiser = torch.optim.Adam([table], lr=0.1)
    before = float(codebook_use(nearest(rows, table), 32)[0])
    for _ in range(300):
        optimiser.zero_grad()
        chosen = table[nearest(rows, table)]
        (codebook_loss(rows, chosen, 0.0, 1.0) + prior * marginal_prior_loss(rows, table)).backward()
        optimiser.step()
    return before, float(codebook_use(nearest(rows, table), 32)[0])


def test_prior_loss_brings_a_collapsed_codebook_back_into_use() -> None:
    assert _collapsed(0.0) == (1 / 32, 1 / 32)
    before, after = _collapsed(1.0)
    assert before == 1 / 32
    assert after > 0.25


def test_codebook_use_counts_codes_and_their_evenness() -> None:
    used, perplexity = codebook_use(torch.tensor([0, 0, 3, 3]), 8)
    assert (float(used), float(perplexity)) == pytest.approx((0.25, 2.0))
    assert float(codebook_use(torch.arange(8), 8)[1]) == pytest.approx(8.0)


def test_index_losses_reward_the_right_index() -> None:
    logits = torch.full((1, 2, 4), -9.0)
    logits[0, 0, 1] = logits[0, 1, 2] = 9.0
    good, right = index_losses(logits, torch.tensor([[1, 2]]))
    bad, wrong = index_losses(logits, torch.tensor([[1, 3]]))
    assert float(good) < 1e-3 < float(bad)
    assert (float(right), float(wrong)) == (1.0, 0.5)


def test_hinge_losses() -> None:
    assert float(critic_loss(torch.tensor([2.0, 0.0]), torch.tensor([-2.0, 0.0]))) == pytest.approx(1.0)
    assert float(adversarial_loss(torch.tensor([1.0, 3.0]))) == -2.0


def _objective(kind: str) -> tuple[StageOne, torch.nn.Module, VqganObjective]:
    torch.manual_seed(0)
    params = STCVqganParams(perceptual="none", adversarial="patch", adversarial_from=2, lambda_adversarial=5.0)
    sizes = STCNetworkParams(channels=8, embedding=16, codes=32, norm_groups=4)
    critic = PatchCritic() if kind == "patch" else DinoCritic(dinov2())
    trainable(critic)
    return StageOne(sizes, params, 32), critic, VqganObjective(params, 32, torch.device("cpu"))


@pytest.mark.parametrize("kind", ["patch", "dinov2"])
def test_adversarial_gradient_reaches_the_generator_and_spares_the_backbone(kind: str) -> None:
    model, critic, _ = _objective(kind)
    critic.requires_grad_(False)
    video = model(torch.rand(1, 3, 2, 32, 32), torch.empty(0)).video
    adversarial_loss(critic(video)).backward()
    first = model.network.generator.blocks[0].weight.grad
    assert first is not None
    assert float(first.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in critic.parameters())


@pytest.mark.parametrize("kind", ["patch", "dinov2"])
def test_the_critic_learns_from_its_own_loss_only_and_from_its_step_on(kind: str) -> None:
    model, critic, objective = _objective(kind)
    hq = torch.rand(1, 3, 2, 32, 32)
    before = objective(model, critic, Batch(hq, hq), 1, lambda loss: loss.backward())
    assert before["critic"].isnan()
    assert all(parameter.grad is None for parameter in critic.parameters())
    plain = model.network.generator.blocks[0].weight.grad.clone()
    model.zero_grad()
    after = objective(model, critic, Batch(hq, hq), 2, lambda loss: loss.backward())
    assert after["critic"].isfinite()
    assert not torch.allclose(plain, model.network.generator.blocks[0].weight.grad)
    for name, parameter in critic.named_parameters():
        assert (parameter.grad is None) == ("backbone." in name), name


def test_absent_networks_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsMissing, match="svfr weights get dinov2-vits14"):
        build_critic("dinov2")
    with pytest.raises(WeightsMissing, match="svfr weights get vgg16"):
        Perceptual()
    assert build_critic("none") is None
    with pytest.raises(UserError, match="choose none, patch or dinov2"):
        build_critic("stylegan")


def test_dinov2_loads_the_published_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    torch.manual_seed(1)
    state = {**dinov2().state_dict(), "mask_token": torch.zeros(1, 384)}
    assert len(state) == 175
    (tmp_path / "training").mkdir()
    path = tmp_path / "training" / "dinov2_vits14_pretrain.pth"
    torch.save(state, path)
    picture = torch.rand(1, 3, 224, 224)
    first, second = load_dinov2().eval(), load_dinov2().eval()
    with torch.no_grad():
        assert first(picture).shape == (1, 384)
        assert torch.equal(first(picture), second(picture))
    torch.save({**state, "extra": torch.zeros(1)}, path)
    (tmp_path / "digests.json").unlink()
    with pytest.raises(UserError, match="1 unknown"):
        load_dinov2()
