"""The training loop. One process each for W ranks, started by Ray, accelerate, torchrun or nobody (W = 1)."""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor
from torch.utils.data import DataLoader

from svfr.errors import UserError
from svfr.models.vae import encode_mean
from svfr.training import checkpoint as store
from svfr.training.config import TrainConfig
from svfr.training.history import History
from svfr.training.index import Index, check_batch, read_index
from svfr.training.objective import NAMES
from svfr.training.optimiser import learning_rate, set_learning_rate
from svfr.training.order import RankSampler
from svfr.training.pairs import Batch, PairDataset, join
from svfr.training.preview import write_preview
from svfr.training.trainer import Trainer
from svfr.training.validate import Validation, figures

MAX_SKIPPED = 10  # successive steps without a finite gradient before training gives up


@dataclass(frozen=True)
class Summary:
    """How a call of `train` ended. `checkpoint` is the newest one; not `finished` means it was asked to stop."""

    step: int
    finished: bool
    checkpoint: Path


def train(config: TrainConfig, should_stop: Callable[[], bool] = lambda: False) -> Summary:
    """Trains until `params.steps`, from the newest whole checkpoint of this configuration if there is one.

    Writes `<run>/metrics.jsonl`, `<run>/checkpoints/` and `<run>/previews/` from rank 0. When `should_stop()` is true
    on any rank, all save and return after the current step. Raises `UserError` for unusable inputs, a checkpoint of
    another configuration, a full disk, or a loss that stays non-finite.
    """
    run_dir = config.run_dir()
    accelerator = make_accelerator(config)
    index = read_index(config)
    check_batch(len(index.train), accelerator.num_processes, config)
    return _Loop(config, run_dir, accelerator, index, should_stop).run()


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The Accelerate object of this process; on the CPU if there is no CUDA or ACCELERATE_USE_CPU=1."""
    return Accelerator(
        cpu=not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU") == "1",
        mixed_precision=config.params.precision,
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )


def peak_memory_mb() -> float:
    """Peak memory of this process so far in MiB: allocated on the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


class _Loop:
    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        accelerator: Accelerator,
        index: Index,
        should_stop: Callable[[], bool],
    ) -> None:
        self.params, self.run_dir, self.accelerator = config.params, run_dir, accelerator
        self.should_stop = should_stop
        self.trainer = Trainer(config, accelerator, index)
        self.validation = Validation(index.validation, config)
        self.data = PairDataset(index.train, config)
        self.history: History | None = None

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
            improved = state.step % self.params.validate_every == 0 and self._validate(row)
            self._record(row | {"seconds": time.perf_counter() - began, "memory_mb": peak_memory_mb()})
            last = state.step == self.params.steps
            if stop or last or improved or state.step % self.params.checkpoint_every == 0:
                self._save()
            if stop and not last:
                return self._summary(finished=False)
        return self._summary(finished=True)

    def _batches(self) -> Iterator[Batch]:
        state, params = self.trainer.state, self.params
        sampler = RankSampler(
            state.position,
            (params.steps - state.step) * params.accumulate,
            params.batch_clips,
            self.accelerator.process_index,
            self.accelerator.num_processes,
        )
        return iter(
            DataLoader(
                self.data,
                batch_sampler=sampler,
                collate_fn=join,
                num_workers=params.loader_workers,
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
            quiet = micro + 1 < self.params.accumulate and self.accelerator.num_processes > 1
            with self.accelerator.no_sync(self.trainer.model) if quiet else nullcontext():
                losses = self.trainer.objective(self.trainer.model, batch)
                self.accelerator.backward(losses.total / self.params.accumulate)
            values += losses.values.cpu() / self.params.accumulate
        return values, self.trainer.update(), waited

    @torch.no_grad()
    def prepare(self, batch: Batch) -> Batch:
        """The batch on the device, degraded pixels turned into latents."""
        batch = batch.to(self.accelerator.device)
        if batch.lq.dtype == torch.uint8:
            views, frames = batch.lq.shape[:2]
            pixels_NCHW = batch.lq.flatten(0, 1).float() / 127.5 - 1
            batch.lq = encode_mean(self.trainer.vae, pixels_NCHW).unflatten(0, (views, frames))
        return batch

    def _over_ranks(self, values: Tensor) -> tuple[list[float], bool]:
        """Means of the figures over ranks, and whether any rank was asked to stop: one small all-reduce."""
        packed = torch.cat([values, torch.tensor([float(self.should_stop())])]).to(self.accelerator.device)
        if self.accelerator.num_processes > 1:
            dist.all_reduce(packed)
        means = (packed[:-1] / self.accelerator.num_processes).tolist()
        return means, bool(packed[-1] > 0)

    def _validate(self, row: dict[str, float]) -> bool:
        """Adds held-out figures of the EMA weights to `row`; returns whether the held-out loss is the best so far."""
        if not len(self.validation):
            return False
        ranks = self.accelerator.process_index, self.accelerator.num_processes
        state = self.trainer.state
        with self.trainer.ema_weights() as model:
            sums = self.validation.losses(model, self.trainer.objective, self.prepare, *ranks)
            if self.accelerator.is_main_process and self.params.preview_steps:
                path = self.run_dir / "previews" / f"step-{state.step:08d}.png"
                write_preview(path, self.validation, model, self.trainer.vae, self.trainer.scheduler)
        if ranks[1] > 1:
            sums = sums.to(self.accelerator.device)
            dist.all_reduce(sums)
        row |= figures(sums.cpu())
        if state.best_loss is not None and row["val_loss"] >= state.best_loss:
            return False
        state.best_step, state.best_loss = state.step, row["val_loss"]
        return True

    def _record(self, row: dict[str, float]) -> None:
        if self.history is not None:
            self.history.append({"step": float(self.trainer.state.step), **row})

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            folder = self.run_dir / "checkpoints"
            store.save_checkpoint(folder, self.trainer.checkpoint())
            store.prune(folder, self.params.keep_checkpoints, self.trainer.state.best_step)
        self.accelerator.wait_for_everyone()

    def _summary(self, finished: bool) -> Summary:
        newest = store.complete_checkpoints(self.run_dir / "checkpoints")[-1]
        return Summary(self.trainer.state.step, finished, newest)
