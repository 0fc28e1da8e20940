"""The training loop. One process each for W ranks, started by Ray, accelerate, torchrun or nobody (W = 1)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor
from torch.utils.data import DataLoader

from svfr.errors import UserError
from svfr.training import checkpoint as store
from svfr.training.config import TrainConfig
from svfr.training.history import History, Row
from svfr.training.index import VIEWS, Index, check_batch, read_index
from svfr.training.objective import NAMES, Losses
from svfr.training.optimiser import learning_rate, set_learning_rate
from svfr.training.order import RankSampler, clips_a_rank
from svfr.training.pairs import Batch, PairDataset, encode_degraded, join
from svfr.training.parallel import last_backward
from svfr.training.preview import write_preview
from svfr.training.speed import matmul_flops, peak_memory_mb, step_flops
from svfr.training.trainer import Trainer
from svfr.training.validate import Validation, figures

MAX_SKIPPED = 10  # successive steps without a finite gradient before training gives up


@dataclass(frozen=True)
class Summary:
    """How a call of `train` ended. `checkpoint` is the newest one; not `finished` means it was asked to stop."""

    step: int
    finished: bool
    checkpoint: Path


def train(
    config: TrainConfig,
    should_stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[Row], None] = lambda row: None,
) -> Summary:
    """Trains until `params.steps`, from the newest whole checkpoint of this configuration if there is one.

    Writes `<run>/metrics.jsonl`, `<run>/checkpoints/` and `<run>/previews/`; `on_step` gets each new row of figures
    on rank 0. When `should_stop()` is true on any rank, all save and return after the current step. Raises
    `UserError` for unusable inputs, a checkpoint of another configuration, a full disk, or a loss that stays
    non-finite.
    """
    run_dir = config.run_dir()
    accelerator = make_accelerator(config)
    index = read_index(config)
    check_batch(len(index.train), accelerator.num_processes, config)
    return _Loop(config, run_dir, accelerator, index, should_stop, on_step).run()


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The Accelerate object of this process; on the CPU if there is no CUDA or ACCELERATE_USE_CPU=1.

    Precision is the model's own affair (`TrainingModel.forward`), the same for copies and shards.
    """
    return Accelerator(
        cpu=not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU") == "1",
        mixed_precision="no",
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )


class _Loop:
    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        accelerator: Accelerator,
        index: Index,
        should_stop: Callable[[], bool],
        on_step: Callable[[Row], None],
    ) -> None:
        self.params, self.run_dir, self.accelerator = config.params, run_dir, accelerator
        self.should_stop, self.on_step = should_stop, on_step
        self.trainer = Trainer(config, accelerator, index)
        self.validation = Validation(index.validation, config)
        self.data = PairDataset(index.train, config)
        self.history: History | None = None
        self.flops = 0  # of a micro-step on one rank, counted before the first one

    def run(self) -> Summary:
        """Goes on from the newest checkpoint to the last step, or to where it is asked to stop."""
        state = self.trainer.resume(self.run_dir / "checkpoints")
        if self.accelerator.is_main_process:
            self.history = History(self.run_dir, state.step)
        if state.step >= self.params.steps:
            return self._summary(finished=True)
        unlucky = 0
        batches = self._batches()
        while state.step < self.params.steps:
            began = time.perf_counter()
            set_learning_rate(self.trainer.optimiser, learning_rate(state.step, self.params))
            values, norm, waited = self._step(batches)
            means, stop = self._over_ranks(values)
            unlucky = 0 if math.isfinite(norm) else unlucky + 1
            if unlucky >= MAX_SKIPPED:
                raise UserError(
                    f"the gradient was not finite in {unlucky} successive steps up to step {state.step}: "
                    "lower train.lr, raise train.warmup, or train with precision bf16"
                )
            row = dict(zip(NAMES, means, strict=True)) | {"grad_norm": norm, "data_seconds": waited}
            row |= {"lr": learning_rate(state.step - 1, self.params), "skipped": float(state.skipped)}
            row |= self._speed(time.perf_counter() - began)
            improved = state.step % self.params.validate_every == 0 and self._validate(row)
            self._record(row)
            last = state.step == self.params.steps
            if stop or last or improved or state.step % self.params.checkpoint_every == 0:
                self.trainer.save(self.run_dir / "checkpoints")
            if stop and not last:
                return self._summary(finished=False)
        return self._summary(finished=True)

    def _batches(self) -> Iterator[Batch]:
        state, params = self.trainer.state, self.params
        sampler = RankSampler(
            state.position,
            (params.steps - state.step) * params.accumulate,
            clips_a_rank(params.batch_clips, self.accelerator.num_processes, "train"),
            self.accelerator.process_index,
            self.accelerator.num_processes,
        )
        return iter(
            DataLoader(
                self.data,
                batch_sampler=sampler,
                collate_fn=join,
                num_workers=params.loader_workers,
                prefetch_factor=params.prefetch if params.loader_workers else None,
                pin_memory=self.accelerator.device.type == "cuda",
                persistent_workers=params.loader_workers > 0,
            )
        )

    def _step(self, batches: Iterator[Batch]) -> tuple[Tensor, float, float]:
        """One optimiser step; returns this rank's mean loss figures, the gradient norm, seconds spent on data."""
        waited, values = 0.0, torch.zeros(len(NAMES))
        for micro in range(self.params.accumulate):
            began = time.perf_counter()
            batch = self.prepare(next(batches))
            waited += time.perf_counter() - began
            if not self.flops:
                self._count(batch)
            with last_backward(self.trainer.model, last=micro + 1 == self.params.accumulate):
                values += self._gradient(batch).values.cpu() / self.params.accumulate
        return values, self.trainer.update(), waited

    def _gradient(self, batch: Batch) -> Losses:
        """Adds the gradient of one micro-step."""
        losses = self.trainer.objective(self.trainer.model, batch)
        self.accelerator.backward(losses.total / self.params.accumulate)
        return losses

    def _count(self, batch: Batch) -> None:
        """Counts the arithmetic of a micro-step in a pass of its own, whose gradient is thrown away.

        Counting takes operations apart and so rounds otherwise: a resumed run would differ from one that was not.
        """
        model, again = self.trainer.model, self.params.gradient_checkpointing
        with last_backward(model, last=True):
            self.flops = step_flops(
                lambda: self.trainer.objective(model, batch).total, self.accelerator.backward, again
            )
        self.trainer.optimiser.zero_grad(set_to_none=True)

    def prepare(self, batch: Batch) -> Batch:
        """The batch on the device, degraded pixels turned into latents."""
        return encode_degraded(batch.to(self.accelerator.device), self.trainer.vae)

    def _over_ranks(self, values: Tensor) -> tuple[list[float], bool]:
        """Means of the figures over ranks, and whether any rank was asked to stop: one small all-reduce."""
        packed = torch.cat([values, torch.tensor([float(self.should_stop())])]).to(self.accelerator.device)
        if self.accelerator.num_processes > 1:
            dist.all_reduce(packed)
        means = (packed[:-1] / self.accelerator.num_processes).tolist()
        return means, bool(packed[-1] > 0)

    def _speed(self, seconds: float) -> Row:
        """Throughput over all ranks, memory and utilisation of rank 0: model FLOP / (seconds x FLOP it could do)."""
        params = self.params
        peak = params.peak_tflops * 1e12 or matmul_flops(self.accelerator.device, params.precision == "bf16")
        return {
            "seconds": seconds,
            "views_per_second": VIEWS * params.batch_clips * params.accumulate / seconds,
            "memory_mb": peak_memory_mb(),
            "mfu": self.flops * params.accumulate / (seconds * peak),
        }

    def _validate(self, row: Row) -> bool:
        """Adds held-out figures of the EMA weights to `row`; returns whether the held-out loss is the best so far."""
        if not len(self.validation):
            return False
        ranks = self.accelerator.process_index, self.accelerator.num_processes
        state = self.trainer.state
        with self.trainer.ema_weights() as model:
            sums = self.validation.losses(model, self.trainer.objective, self.prepare, *ranks)
        if self.params.preview_steps and (unet := self.trainer.averaged_unet()):
            path = self.run_dir / "previews" / f"step-{state.step:08d}.png"
            write_preview(path, self.validation, unet, self.trainer.vae, self.trainer.scheduler)
        if ranks[1] > 1:
            sums = sums.to(self.accelerator.device)
            dist.all_reduce(sums)
        row |= figures(sums.cpu())
        if state.best_loss is not None and row["val_loss"] >= state.best_loss:
            return False
        state.best_step, state.best_loss = state.step, row["val_loss"]
        return True

    def _record(self, row: Row) -> None:
        if self.history is not None:
            row = {"step": float(self.trainer.state.step), **row}
            self.history.append(row)
            self.on_step(row)

    def _summary(self, finished: bool) -> Summary:
        newest = store.complete_checkpoints(self.run_dir / "checkpoints")[-1]
        return Summary(self.trainer.state.step, finished, newest)
