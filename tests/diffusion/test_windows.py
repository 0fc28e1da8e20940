"""Windows: coverage, weights, and linear windows over a sequence of unknown length."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.diffusion.windows import WindowFeed, check_window, cyclic_windows, linear_starts, triangular_weights
from svfr.errors import UserError

SHAPES = st.integers(1, 20).flatmap(lambda w: st.tuples(st.integers(1, 90), st.just(w), st.integers(0, w - 1)))


@settings(max_examples=80, deadline=None)
@given(SHAPES, st.integers(0, 9))
def test_every_frame_gets_positive_weight(shape: tuple[int, int, int], step: int) -> None:
    n, window, overlap = shape
    weight = torch.zeros(n)
    for index in cyclic_windows(n, window, overlap, step):
        weight.index_add_(0, index, triangular_weights(window))
    assert bool((weight > 0).all())

    starts = linear_starts(n, window, overlap)
    weight = torch.zeros(n)
    for start in starts:
        length = min(window, n)
        weight[start : start + length] += triangular_weights(length)
    assert bool((weight > 0).all())
    assert starts[0] == 0
    assert starts[-1] == max(0, n - window)
    assert all(0 < b - a <= window - overlap for a, b in pairwise(starts))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_the_feed_gives_the_same_windows_for_any_pieces(shape: tuple[int, int, int], pieces: list[int]) -> None:
    _, window, overlap = shape
    feed = WindowFeed(window, overlap)
    starts: list[int] = []
    settled = []
    for piece in pieces:
        starts += feed.extend(piece)
        settled.append((feed.settled, list(starts)))
    starts += feed.close()
    assert starts == linear_starts(sum(pieces), window, overlap)
    assert feed.settled == sum(pieces)
    for frame, known in settled:  # no later window may touch a frame below `settled`
        assert all(start >= frame for start in starts if start not in known)


def test_released_windows_by_hand() -> None:
    assert triangular_weights(6).tolist() == [1, 2, 3, 3, 2, 1]
    assert triangular_weights(5).tolist() == [1, 2, 3, 2, 1]
    assert [w.tolist() for w in cyclic_windows(6, 4, 1, 0)] == [[0, 1, 2, 3], [3, 4, 5, 0]]
    assert [w.tolist() for w in cyclic_windows(6, 4, 1, 3)] == [[3, 4, 5, 0], [1, 2, 3, 4]]
    counts = {n: sum(len(cyclic_windows(n, 16, 3, i)) for i in range(30)) for n in (54, 85, 100, 160, 250, 500)}
    assert counts == {54: 123, 85: 183, 100: 213, 160: 309, 250: 492, 500: 981}
    assert sum(len(cyclic_windows(16, 16, 3, i)) for i in range(50)) == 53


@pytest.mark.parametrize(("window", "overlap"), [(0, 0), (4, 4), (4, 9), (4, -1)])
def test_impossible_windows_are_refused(window: int, overlap: int) -> None:
    with pytest.raises(UserError):
        check_window(window, overlap)
