"""EDM preconditioning, schedule, guidance, noise and solvers against their definitions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from svfr.diffusion import edm
from svfr.diffusion.guidance import combine, guidance_scales, within_interval
from svfr.diffusion.noise import LATENT, PIXEL, frame_noise, frames_noise
from svfr.diffusion.schedule import KarrasSchedule
from svfr.diffusion.solvers import dpmpp_2m, euler, solver_named
from svfr.errors import UserError


def test_schedule_matches_the_released_code(rule: dict[str, Any], configs: Any) -> None:
    schedule = KarrasSchedule.from_config(configs["scheduler"])
    for steps, record in rule["record"]("schedule").items():
        sigmas = schedule.sigmas(int(steps))
        torch.testing.assert_close(sigmas, torch.tensor(record["sigmas"]), atol=1e-4, rtol=1e-6)
        times = edm.c_noise(sigmas[:-1])
        torch.testing.assert_close(times, torch.tensor(record["timesteps"]), atol=1e-6, rtol=0)


def test_strength_takes_the_lower_end_of_the_schedule() -> None:
    schedule = KarrasSchedule()
    full = schedule.sigmas(10)
    assert torch.equal(schedule.levels(10, 0.35), full[7:])
    assert torch.equal(schedule.levels(10, 1.0), full)
    assert schedule.sigmas(1).tolist() == [700.0, 0.0]
    for steps, strength in ((10, 0.0), (10, 1.1), (10, 0.05), (0, 1.0), (10, math.nan)):
        with pytest.raises(UserError):
            schedule.levels(steps, strength)


@pytest.mark.parametrize("change", [{"prediction_type": "epsilon"}, {"use_karras_sigmas": False}, {"sigma_min": 800}])
def test_other_schedulers_are_refused(configs: Any, change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="scheduler config"):
        KarrasSchedule.from_config(configs["scheduler"] | change)


def test_v_prediction_round_trip_and_weight() -> None:
    x0, noise = torch.randn(4, 3, 2), torch.randn(4, 3, 2)
    sigma = torch.tensor([0.01, 0.5, 3.0, 500.0])
    x = edm.add_noise(x0, noise, sigma)
    v = edm.v_target(x, x0, sigma)
    torch.testing.assert_close(edm.denoised(x, v, sigma), x0, atol=1e-3, rtol=1e-3)
    # scaled input and v have unit variance for unit-variance data: c_in^2 (1 + sigma^2) = 1
    torch.testing.assert_close(torch.as_tensor(edm.c_in(sigma)) ** 2 * (1 + sigma**2), torch.ones(4))
    # lambda(sigma) |x0 error|^2 = |v error|^2
    torch.testing.assert_close(edm.loss_weight(sigma) * torch.as_tensor(edm.c_out(sigma)) ** 2, torch.ones(4))
    assert edm.c_noise(math.e) == pytest.approx(0.25)


def test_training_noise_levels_are_lognormal_and_seeded() -> None:
    draw = edm.sample_sigmas(20000, 0.7, 1.6, generator=torch.Generator().manual_seed(1)).log()
    assert draw.mean().item() == pytest.approx(0.7, abs=0.05)
    assert draw.std().item() == pytest.approx(1.6, abs=0.05)
    again = edm.sample_sigmas(20000, 0.7, 1.6, generator=torch.Generator().manual_seed(1)).log()
    assert torch.equal(draw, again)


def test_guidance_runs_over_steps_and_can_be_limited() -> None:
    scales = guidance_scales((1.0, 3.0), 5)
    assert scales.tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    sigmas = torch.tensor([100.0, 10.0, 1.0, 0.1, 0.01])
    assert within_interval(scales, sigmas, (0.1, 10)).tolist() == [1.0, 1.5, 2.0, 2.5, 1.0]
    assert within_interval(scales, sigmas, None) is scales
    v = combine(torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([2.0, 0.5]))
    assert v.tolist() == [[2.0] * 3, [0.5] * 3]
    with pytest.raises(UserError, match="low < high"):
        within_interval(scales, sigmas, (3, 1))
    with pytest.raises(UserError, match="finite"):
        guidance_scales((1.0, math.nan), 3)


def test_noise_belongs_to_its_frame() -> None:
    whole = frames_noise(7, 0, 6, (4, 3, 2))
    assert torch.equal(whole[2:5], frames_noise(7, 2, 3, (4, 3, 2)))
    others = [
        frame_noise(8, 0, (4, 3, 2)),
        frame_noise(7, 0, (4, 3, 2), PIXEL),
        whole[1],
        frame_noise(-7, 0, (4, 3, 2)),
    ]
    assert all(not torch.equal(whole[0], other) for other in others)
    large = frame_noise(7, 3, (100, 100), LATENT)
    assert large.mean().abs() < 0.05
    assert large.std().item() == pytest.approx(1, abs=0.02)


def _solve(solver: Any, steps: int) -> float:
    """Integrates a denoiser whose data are N(mu, s^2): the ODE's solution is known in closed form."""
    mu, s = 0.8, 0.3
    sigmas = KarrasSchedule(0.002, 80.0).sigmas(steps)
    levels = sigmas.tolist()
    x = torch.tensor([-50.0, 0.0, 40.0], dtype=torch.float64)
    exact = mu + (x - mu) * s / (s**2 + levels[0] ** 2) ** 0.5
    memory = None
    for i in range(steps):
        x0 = (s**2 * x + levels[i] ** 2 * mu) / (s**2 + levels[i] ** 2)
        x, memory = solver(x, edm.v_target(x, x0, levels[i]), levels, i, memory)
    return float((x - exact).abs().max())


def test_solvers_converge_and_the_second_order_one_is_better() -> None:
    assert _solve(euler, 200) < _solve(euler, 50) < 0.05
    assert _solve(dpmpp_2m, 40) < _solve(euler, 40) / 5
    assert _solve(dpmpp_2m, 80) < _solve(dpmpp_2m, 40) / 3.5  # second order: a quarter of the error
    with pytest.raises(UserError, match="unknown solver"):
        solver_named("magic")
