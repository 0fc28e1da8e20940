"""Which clip comes when, as a pure function of (seed, position), so that any run can go on from any position.

Positions count clips over the whole run and over all ranks. Epoch e is a permutation drawn from (seed, e).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from svfr.artifacts import digest_of
from svfr.errors import UserError


def generator_for(*key: int | str) -> torch.Generator:
    """A CPU generator whose state depends on `key` alone."""
    return torch.Generator().manual_seed(int(digest_of(list(key))[:15], 16))


def clip_at(position: int, clips: int, seed: int) -> int:
    """The index (below `clips`) of the clip at a position of the run."""
    epoch, slot = divmod(position, clips)
    return int(torch.randperm(clips, generator=generator_for("order", seed, epoch))[slot])


def below(limit: int, draw: torch.Generator) -> int:
    """A number in 0..`limit` - 1, all equally likely."""
    return int(torch.randint(limit, (1,), generator=draw))


def clips_a_rank(batch_clips: int, world: int, section: str) -> int:
    """Clips of a step for each of `world` ranks. Raises `UserError`, naming the `section` of params.yaml, if uneven."""
    if batch_clips % world:
        raise UserError(
            f"{section}.batch_clips {batch_clips} cannot be shared by {world} workers: "
            f"make it a multiple of {world}, or change {section}.workers"
        )
    return batch_clips // world


class RankSampler(Sampler[list[int]]):
    """Yields, for each micro-step, the positions of this rank's clips.

    A micro-step of W ranks with b clips each covers W b successive positions, rank r the r-th b of them: two ranks
    with b clips see what one with 2 b would see.
    """

    def __init__(self, start: int, micro_steps: int, batch: int, rank: int, world: int) -> None:
        self.start, self.micro_steps, self.batch, self.rank, self.world = start, micro_steps, batch, rank, world

    def __len__(self) -> int:
        return self.micro_steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.micro_steps):
            first = self.start + (step * self.world + self.rank) * self.batch
            yield list(range(first, first + self.batch))
