"""What a rank trains with: model, critic, optimisers, running average, and all of it as named tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from svfr.models.stc import VQGAN
from svfr.params import STCPredictorParams, STCVqganParams
from svfr.training.checkpoint import State
from svfr.training.optimiser import set_learning_rate
from svfr.training.stc.config import STCTrainConfig
from svfr.training.stc.critic import build_critic
from svfr.training.stc.model import StageOne, StageTwo, start_stage_two
from svfr.training.stc.objective import PredictorObjective, VqganObjective, trainable


class Trainer:
    """The trained state of one rank; all ranks hold the same values."""

    def __init__(self, config: STCTrainConfig, accelerator: Accelerator, side: int) -> None:
        self.params, self.accelerator, self.identity = config.params, accelerator, config.identity()
        self.state = State()
        self.objective: VqganObjective | PredictorObjective
        self.critic: nn.Module | None = None
        codes = config.network.codes
        if isinstance(config.params, STCVqganParams):
            self.plain: StageOne | StageTwo = StageOne(config.network, config.params, side)
            self.objective = VqganObjective(config.params, codes, accelerator.device)
            self.critic = _seeded_critic(config.params)
        else:
            assert isinstance(config.params, STCPredictorParams)
            self.plain = start_stage_two(config.network, config.params, config.vqgan)
            self.objective = PredictorObjective(config.params, codes)
        self.plain.to(accelerator.device).train()
        self.model = accelerator.prepare_model(self.plain)
        self.plain_critic = self.critic
        if self.critic is not None:
            trainable(self.critic.to(accelerator.device).train())
            self.critic = accelerator.prepare_model(self.critic)
        self.optimisers = {name: _adam(part, self.params.lr) for name, part in self._parts().items()}
        self.average = {name: p.detach().clone() for name, p in self.plain.network.named_parameters()}

    @property
    def network(self) -> VQGAN:
        """The network that becomes the model."""
        return self.plain.network

    def update(self) -> float:
        """Clips gradients, steps optimisers and the running average; returns the model's norm before clipping.

        A gradient that is not finite changes nothing but the counters. It is the same on all ranks, so all agree.
        """
        limit = self.params.clip_norm
        norms = {name: float(nn.utils.clip_grad_norm_(p.parameters(), limit)) for name, p in self._parts().items()}
        if all(norm < float("inf") for norm in norms.values()):
            for optimiser in self.optimisers.values():
                optimiser.step()
            self._follow()
        else:
            self.state.skipped += 1
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.position += self.params.batch_clips
        return norms["model"]

    @torch.no_grad()
    def _follow(self) -> None:
        """average <- d average + (1 - d) weights, d = min(ema, (1 + n) / (10 + n)) at update n."""
        n = self.state.step - self.state.skipped
        decay = min(self.params.ema, (1 + n) / (10 + n))
        for name, parameter in self.network.named_parameters():
            self.average[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The model with averaged weights in place of the trained ones, for as long as the block lasts."""
        kept = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        _overwrite(self.network, self.average)
        self.plain.eval()
        try:
            yield self.plain
        finally:
            _overwrite(self.network, kept)
            self.plain.train()

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for optimiser in self.optimisers.values():
            set_learning_rate(optimiser, rate)

    def tensors(self) -> dict[str, Tensor]:
        """Everything a run needs to go on, by name; the tensors are the live ones."""
        held = {f"ema.{name}": value for name, value in self.average.items()}
        for part, module in self._parts().items():
            state = self.optimisers[part].state
            for name, parameter in module.named_parameters():
                if "backbone." not in name:
                    held[f"{part}.{name}"] = parameter.detach()
                held |= {f"{part}.{kind}.{name}": value for kind, value in state.get(parameter, {}).items()}
        return held

    def _parts(self) -> dict[str, nn.Module]:
        critic = {"critic": self.plain_critic} if self.plain_critic is not None else {}
        return {"model": self.plain, **critic}


def _adam(module: nn.Module, rate: float) -> torch.optim.Adam:
    """Adam (0.9, 0.99) as released, with its state in place from the start, so that it can be loaded into."""
    trained = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=rate, betas=(0.9, 0.99))
    for parameter in trained:
        moments = {name: torch.zeros_like(parameter, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
        optimiser.state[parameter] = {"step": torch.tensor(0.0), **moments}
    return optimiser


def _seeded_critic(params: STCVqganParams) -> nn.Module | None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed + 1)
        return build_critic(params.adversarial if params.lambda_adversarial > 0 else "none")


@torch.no_grad()
def _overwrite(module: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(values[name])
