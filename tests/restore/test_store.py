"""Segments cover a region, and shared frames are blended."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.restore.store import RegionStore, Segment, plan_segments


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, 50), count=st.integers(1, 300), length=st.integers(16, 64), window=st.integers(2, 16))
def test_every_frame_is_owned_once(start: int, count: int, length: int, window: int) -> None:
    overlap = min(3, window - 1)
    plan = plan_segments(start, start + count, length, overlap, window)
    owned = [frame for s in plan for frame in range(s.start, s.owned)]
    assert owned == list(range(start, start + count))
    for segment, following in pairwise(plan):
        assert segment.stop == min(following.start + overlap, start + count)
    assert plan[-1].stop == start + count
    assert len(plan) == 1 or all(s.stop - s.start >= window for s in plan)


def test_shared_frames_fade_from_one_segment_to_the_next(tmp_path: Path) -> None:
    store = RegionStore(tmp_path, [Segment(0, 4, 6), Segment(4, 8, 8)])
    store.write(0, np.full((6, 2, 2, 3), 90, np.uint8))
    store.write(1, np.full((4, 2, 2, 3), 120, np.uint8))
    assert [int(frame[0, 0, 0]) for frame in store.read()] == [90, 90, 90, 90, 100, 110, 120, 120]
