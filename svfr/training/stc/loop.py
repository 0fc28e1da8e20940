"""The training loop of both stages. One process each for W ranks, started by Ray, accelerate, torchrun or nobody."""

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
from torch import Tensor
from torch.utils.data import DataLoader

from svfr.errors import UserError
from svfr.params import STCVqganParams
from svfr.training.checkpoint import complete_checkpoints
from svfr.training.history import History
from svfr.training.loop import MAX_SKIPPED, Summary
from svfr.training.optimiser import learning_rate
from svfr.training.order import RankSampler, clips_a_rank, generator_for
from svfr.training.speed import peak_memory_mb
from svfr.training.stc import store
from svfr.training.stc.config import STCTrainConfig
from svfr.training.stc.data import Batch, WindowDataset, join, read_clips
from svfr.training.stc.model import StageOne
from svfr.training.stc.preview import write_preview
from svfr.training.stc.trainer import Trainer


def train(config: STCTrainConfig, should_stop: Callable[[], bool] = lambda: False) -> Summary:
    """Trains one stage until `params.steps`, from the newest whole checkpoint of this configuration if there is one.

    Writes `<run>/metrics.jsonl`, `<run>/checkpoints/` and `<run>/previews/` from rank 0. When `should_stop()` is true
    on any rank, all save and return after the current step. Raises `UserError` for unusable inputs, a checkpoint of
    another configuration, a full disk, or a loss that stays non-finite; `WeightsMissing` for a network that is absent.
    """
    run_dir = config.run_dir()
    accelerator = Accelerator(cpu=_on_cpu(), mixed_precision=config.params.precision)
    data = WindowDataset(read_clips(config, "train"), config)
    held_out = WindowDataset(read_clips(config, "val"), config, "validation")
    return _Loop(Trainer(config, accelerator, frame_side(config)), data, held_out, run_dir, should_stop).run()


def frame_side(config: STCTrainConfig) -> int:
    """Pixels a side of what is trained on: `params.size`, or the clips' own."""
    if config.params.size:
        return config.params.size
    return int(WindowDataset(read_clips(config, "train")[:1], config).pixels(0).shape[1])


def _on_cpu() -> bool:
    return not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU") == "1"


@dataclass
class _Loop:
    trainer: Trainer
    data: WindowDataset
    held_out: WindowDataset
    run_dir: Path
    should_stop: Callable[[], bool]
    history: History | None = None

    def run(self) -> Summary:
        """Goes on from the newest checkpoint to the last step, or to where it is asked to stop."""
        trainer, params, unlucky = self.trainer, self.trainer.params, 0
        if not store.resume(trainer, self.run_dir / "checkpoints"):
            self._start()
        state = trainer.state
        if trainer.accelerator.is_main_process:
            self.history = History(self.run_dir, state.step)
        batches = self._batches()
        while state.step < params.steps:
            began, rate = time.perf_counter(), learning_rate(state.step, params)
            trainer.set_rate(rate)
            values, norm, waited = self._step(batches)
            means, stop = self._over_ranks(values)
            unlucky = 0 if math.isfinite(norm) else unlucky + 1
            if unlucky >= MAX_SKIPPED:
                raise UserError(
                    f"the gradient was not finite in {unlucky} successive steps up to step {state.step}: lower lr"
                )
            row = dict(zip(trainer.objective.figures, means, strict=True)) | {"grad_norm": norm, "lr": rate}
            last = state.step == params.steps
            improved = (last or state.step % params.validate_every == 0) and self._validate(row)
            row |= {"skipped": float(state.skipped), "data_seconds": waited, "memory_mb": peak_memory_mb()}
            self._record(row | {"seconds": time.perf_counter() - began})
            if stop or last or improved or state.step % params.checkpoint_every == 0:
                store.save(trainer, self.run_dir / "checkpoints")
            if stop and not last:
                return self._summary(finished=False)
        return self._summary(finished=True)

    def _start(self) -> None:
        """What is done once, before the first step."""
        params, plain = self.trainer.params, self.trainer.plain
        if isinstance(params, STCVqganParams) and params.codes_from_data:
            assert isinstance(plain, StageOne)
            first = join([self.data[position] for position in range(min(8, len(self.data.clips)))])
            plain.codes_from(first.hq.to(self.trainer.accelerator.device), generator_for("codes", params.seed))
            self.trainer.average["quantize.embedding_s.weight"].copy_(plain.network.codebook)

    def _batches(self) -> Iterator[Batch]:
        state, params, ranks = self.trainer.state, self.trainer.params, self.trainer.accelerator
        share = clips_a_rank(params.batch_clips, ranks.num_processes, f"stc.{self.data.config.stage}")
        sampler = RankSampler(
            state.position, params.steps - state.step, share, ranks.process_index, ranks.num_processes
        )
        workers = params.loader_workers
        return iter(DataLoader(self.data, batch_sampler=sampler, collate_fn=join, num_workers=workers))

    def _step(self, batches: Iterator[Batch]) -> tuple[Tensor, float, float]:
        """One optimiser step; returns this rank's figures, the gradient norm, seconds spent on data."""
        trainer, began = self.trainer, time.perf_counter()
        batch = next(batches).to(trainer.accelerator.device)
        waited = time.perf_counter() - began
        backward = trainer.accelerator.backward
        figures = trainer.objective(trainer.model, trainer.critic, batch, trainer.state.step, backward)
        values = torch.stack([figures[name].detach().float().cpu() for name in trainer.objective.figures])
        return values, trainer.update(), waited

    def _over_ranks(self, values: Tensor) -> tuple[list[float], bool]:
        """Means of the figures over ranks, and whether any rank was asked to stop: one small all-reduce."""
        ranks = self.trainer.accelerator
        packed = torch.cat([values, torch.tensor([float(self.should_stop())])]).to(ranks.device)
        if ranks.num_processes > 1:
            dist.all_reduce(packed)
        return (packed[:-1] / ranks.num_processes).tolist(), bool(packed[-1] > 0)

    @torch.no_grad()
    def _validate(self, row: dict[str, float]) -> bool:
        """Adds held-out losses of the averaged weights to `row`, the same on all ranks; returns whether it is the best.

        Also writes a preview: of the first held-out clip or, if none is held out, of a training clip.
        """
        trainer, params, device = self.trainer, self.trainer.params, self.trainer.accelerator.device
        shown = self.held_out if self.held_out.clips else self.data
        sums: dict[str, list[float]] = {}
        with trainer.averaged() as model:
            for number in range(min(params.validation_clips, len(self.held_out.clips))):
                batch = _middle(self.held_out, number, params.seed).to(device)
                for name, value in trainer.objective.losses(model(batch.hq, batch.lq), batch).items():
                    sums.setdefault(f"val_{name}", []).append(float(value))
            if trainer.accelerator.is_main_process:
                batch = _middle(shown, 0, params.seed).to(device)
                kind = "" if self.held_out.clips else "-train"
                write_preview(
                    self.run_dir / "previews" / f"step-{trainer.state.step:08d}{kind}.png", trainer.network, batch
                )
        row |= {name: sum(values) / len(values) for name, values in sums.items()}
        best = trainer.state.best_loss
        if "val_loss" not in row or (best is not None and row["val_loss"] >= best):
            return False
        trainer.state.best_step, trainer.state.best_loss = trainer.state.step, row["val_loss"]
        return True

    def _record(self, row: dict[str, float]) -> None:
        if self.history is not None:
            self.history.append({"step": float(self.trainer.state.step), **row})

    def _summary(self, finished: bool) -> Summary:
        return Summary(self.trainer.state.step, finished, complete_checkpoints(self.run_dir / "checkpoints")[-1])


def _middle(data: WindowDataset, number: int, seed: int) -> Batch:
    """The middle window of a clip under the same view every time, in full degradation."""
    start = (data.clips[number].row["n_frames"] - data.config.params.frames) // 2
    return data.window(number, start, 1 << 40, generator_for("stc-middle", seed, number))
