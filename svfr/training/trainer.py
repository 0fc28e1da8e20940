"""What a rank trains with: model, optimiser, running average, and their way into and out of checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor

from svfr.errors import UserError
from svfr.models.folder import load_model_folder
from svfr.models.temporal_conv import use_planar_convolutions
from svfr.training import checkpoint as store
from svfr.training.config import TrainConfig
from svfr.training.index import Index, mean_shape
from svfr.training.model import TrainingModel
from svfr.training.objective import Objective
from svfr.training.optimiser import build_optimiser


class Trainer:
    """The trained state of one rank. All ranks hold the same values, so any of them could write the checkpoint."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, index: Index) -> None:
        self.params, self.accelerator = config.params, accelerator
        self.identity = config.identity()
        bundle = load_model_folder(config.base)
        self.vae, self.scheduler = bundle.vae.to(accelerator.device), bundle.config["scheduler"]
        shape = mean_shape(index.train) if self.params.lambda_prior > 0 else None
        if accelerator.device.type == "cpu":
            use_planar_convolutions(bundle.unet)
        self.plain = TrainingModel(bundle, self.params, shape).to(accelerator.device)
        self.optimiser = build_optimiser(self.plain, self.params)
        self.model, self.optimiser = accelerator.prepare(self.plain, self.optimiser)
        self.objective = Objective(self.params, float(self.vae.config["scaling_factor"]))
        self.ema = EMAModel(self.plain.exported().values(), decay=self.params.ema, foreach=True)
        self.state = store.State()

    def update(self) -> float:
        """Clips the gradient, steps the optimiser and the running average; returns the norm before clipping.

        A gradient that is not finite changes nothing but the counters. It is the same on all ranks, so all agree.
        """
        norm = float(self.accelerator.clip_grad_norm_(self.plain.parameters(), self.params.clip_norm))
        if norm < float("inf"):
            self.optimiser.step()
            self.ema.step(self.plain.exported().values())
        else:
            self.state.skipped += 1
        self.optimiser.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.position += self.params.accumulate * self.params.batch_clips * self.accelerator.num_processes
        self.state.ema_step = self.ema.optimization_step
        return norm

    @contextmanager
    def ema_weights(self) -> Iterator[TrainingModel]:
        """The model with averaged weights in place of the trained ones, for as long as the block lasts."""
        parameters = list(self.plain.exported().values())
        self.ema.store(parameters)
        self.ema.copy_to(parameters)
        try:
            yield self.plain
        finally:
            self.ema.restore(parameters)

    def resume(self, folder: Path) -> store.State:
        """Loads the newest whole checkpoint in `folder`, if any, on every rank; returns the state to go on from."""
        finished = store.complete_checkpoints(folder)
        if finished:
            saved = store.load_checkpoint(finished[-1], self.identity)
            try:
                self.plain.load_state_dict(saved.model)
                self.optimiser.load_state_dict(saved.optimiser)
            except (RuntimeError, ValueError, KeyError) as error:
                raise UserError(f"checkpoint {finished[-1]} does not fit this model: {error}") from error
            for name, shadow in self._shadows().items():
                shadow.copy_(saved.ema[name])
            self.state = saved.state
            self.ema.optimization_step = saved.state.ema_step
        return self.state

    def checkpoint(self) -> store.Checkpoint:
        """The present state, ready to be saved."""
        # Accelerate may wrap the optimiser; the inner state is the one any later run can load
        inner: torch.optim.Optimizer = getattr(self.optimiser, "optimizer", self.optimiser)
        return store.Checkpoint(self.state, self.identity, self.plain.state_dict(), self._shadows(), inner.state_dict())

    def _shadows(self) -> dict[str, Tensor]:
        return dict(zip(self.plain.exported(), self.ema.shadow_params, strict=True))
