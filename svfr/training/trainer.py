"""What a rank trains with: model, optimiser, running average, and their way into and out of checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor

from svfr.models.folder import load_model_folder
from svfr.models.temporal_conv import use_planar_convolutions
from svfr.training import checkpoint as store
from svfr.training.config import TrainConfig
from svfr.training.index import Index, mean_shape
from svfr.training.model import TrainingModel
from svfr.training.objective import Objective
from svfr.training.optimiser import build_optimiser, moments, set_steps
from svfr.training.parallel import clip_gradient, spread_out, whole


class Trainer:
    """The trained state of one rank: all of it, or with `fsdp` a shard of everything."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, index: Index) -> None:
        self.config, self.params, self.accelerator = config, config.params, accelerator
        self.identity = config.identity()
        bundle = load_model_folder(config.base)
        self.vae, self.scheduler = bundle.vae.to(accelerator.device), bundle.config["scheduler"]
        shape = mean_shape(index.train) if self.params.lambda_prior > 0 else None
        if accelerator.device.type == "cpu":
            use_planar_convolutions(bundle.unet)
        self.plain = TrainingModel(bundle, self.params, shape).to(accelerator.device)
        self.model = spread_out(self.plain, accelerator, self.params)
        self.optimiser = build_optimiser(self.plain, self.params)
        self.objective = Objective(self.params, float(self.vae.config["scaling_factor"]))
        self.ema = EMAModel(self.plain.exported().values(), decay=self.params.ema, foreach=True)
        self.state = store.State()

    def update(self) -> float:
        """Clips the gradient, steps the optimiser and the running average; returns the norm before clipping.

        A gradient that is not finite changes nothing but the counters. It is the same on all ranks, so all agree.
        """
        norm = clip_gradient(self.plain, self.params.clip_norm)
        if norm < float("inf"):
            self.optimiser.step()
            self.ema.step(self.plain.exported().values())
        else:
            self.state.skipped += 1
        self.optimiser.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.position += self.params.accumulate * self.params.batch_clips
        return norm

    @contextmanager
    def ema_weights(self) -> Iterator[TrainingModel]:
        """The model with averaged weights in place of the trained ones, for as long as the block lasts."""
        self._swap()
        try:
            yield self.plain
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, shadow in zip(self.plain.exported().values(), self.ema.shadow_params, strict=True):
            kept = parameter.clone()
            parameter.copy_(shadow)
            shadow.copy_(kept)

    def averaged_unet(self) -> UNetSpatioTemporalConditionModel | None:
        """A whole U-Net of its own with averaged weights, on rank 0; all ranks have to ask for it."""
        shadows = {
            name: whole(shadow) for name, shadow in zip(self.plain.exported(), self.ema.shadow_params, strict=True)
        }
        if not self.accelerator.is_main_process:
            return None
        bundle = load_model_folder(self.config.base)
        model = TrainingModel(bundle, self.params.model_copy(update={"lambda_ulr": 0.0}), shape_mean=None)
        model.load_state_dict(shadows, strict=False)
        model.merge()
        return bundle.unet.to(self.accelerator.device).eval().requires_grad_(False)

    def resume(self, folder: Path) -> store.State:
        """Loads the newest whole checkpoint in `folder`, if any, on every rank; returns the state to go on from."""
        finished = store.complete_checkpoints(folder)
        if finished:
            self.state = store.load_checkpoint(finished[-1], self.identity, self.tensors())
            done = self.state.step - self.state.skipped
            set_steps(self.optimiser, done)
            self.ema.optimization_step = done
        return self.state

    def save(self, folder: Path) -> None:
        """Writes a checkpoint into `folder` and deletes those that are no longer kept; all ranks together."""
        store.save_checkpoint(folder, self.state, self.identity, self.tensors())
        if self.accelerator.is_main_process:
            store.prune(folder, self.params.keep_checkpoints, self.state.best_step)
        self.accelerator.wait_for_everyone()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint holds, by name; writing into these tensors changes the trainer."""
        trained = self.plain.trained()
        found = {f"model.{name}": parameter.detach() for name, parameter in trained.items()}
        averages = zip(self.plain.exported(), self.ema.shadow_params, strict=True)
        found |= {f"ema.{name}": shadow for name, shadow in averages}
        for name, parameter in trained.items():
            found |= {f"{kind}.{name}": value for kind, value in moments(self.optimiser, parameter).items()}
        return found
