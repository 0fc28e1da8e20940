"""The order of clips: a permutation each epoch, the same for any number of ranks and any point of entry."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.training.order import RankSampler, clip_at


@settings(max_examples=20, deadline=None)
@given(clips=st.integers(1, 12), epoch=st.integers(0, 5), seed=st.integers(0, 9))
def test_every_epoch_shows_every_clip_once(clips: int, epoch: int, seed: int) -> None:
    shown = [clip_at(epoch * clips + i, clips, seed) for i in range(clips)]
    assert sorted(shown) == list(range(clips))


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(clip_at(e * 8 + i, 8, seed) for i in range(8)) for e in range(3) for seed in range(3)}
    assert len(orders) == 9


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 3), world=st.integers(1, 4), steps=st.integers(1, 5), start=st.integers(0, 50))
def test_ranks_together_see_what_one_rank_with_the_whole_batch_sees(
    batch: int, world: int, steps: int, start: int
) -> None:
    ranks = [list(RankSampler(start, steps, batch, rank, world)) for rank in range(world)]
    together = [[p for rank in ranks for p in rank[step]] for step in range(steps)]
    assert together == list(RankSampler(start, steps, batch * world, 0, 1))


def test_a_run_entered_in_the_middle_goes_on_where_it_was() -> None:
    whole = list(RankSampler(0, 6, 2, 0, 1))
    assert whole[3:] == list(RankSampler(6, 3, 2, 0, 1))
