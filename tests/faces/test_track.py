"""Tracks: identity kept through gaps and crossings of order, interpolation, and independence of order."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.faces.detect import Face
from svfr.faces.track import Track, iou_matrix, track_faces


def _face(x: float, y: float = 0.0, side: float = 100.0, score: float = 1.0) -> Face:
    return Face((x, y, x + side, y + side), score)


def test_overlap() -> None:
    matrix = iou_matrix([(0, 0, 10, 10), (0, 0, 0, 0)], [(0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30)])
    assert np.allclose(matrix, [[1, 1 / 3, 0], [0, 0, 0]])
    assert iou_matrix([], []).shape == (0, 0)


def test_boxes_between_key_frames_are_interpolated() -> None:
    (track,) = track_faces([(0, [_face(0)]), (5, [_face(20)]), (10, [_face(20)])])
    assert track.frames == tuple(range(11))
    assert np.allclose(track.boxes[:, 0], [0, 4, 8, 12, 16, 20, 20, 20, 20, 20, 20])
    assert track.detected == tuple(frame % 5 == 0 for frame in range(11))


def test_a_short_gap_is_bridged_and_a_long_one_splits() -> None:
    times = [0, 5, 15, 20]
    assert [t.frames for t in track_faces([(t, [_face(t)]) for t in times], max_gap=10)] == [tuple(range(21))]
    split = track_faces([(t, [_face(t)]) for t in times], max_gap=9)
    assert [(t.frames[0], t.frames[-1]) for t in split] == [(0, 5), (15, 20)]
    assert [t.track_id for t in split] == [0, 1]


def test_the_assignment_is_the_best_overall() -> None:
    # one by one, the left track would take the box that the right one needs
    tracks = track_faces([(0, [_face(0), _face(60)]), (1, [_face(35), _face(95)])], min_iou=0.2)
    assert [(t.boxes[0, 0], t.boxes[-1, 0]) for t in tracks] == [(0, 35), (60, 95)]


def test_faces_that_jump_or_are_doubtful_do_not_join() -> None:
    assert len(track_faces([(0, [_face(0)]), (1, [_face(300)])])) == 2
    assert track_faces([(0, [_face(0, score=0.5)])], min_score=0.6) == []
    assert len(track_faces([(0, [_face(0)]), (9, [_face(0)]), (9, [_face(500)])], min_frames=10)) == 1
    assert track_faces([]) == []


def _key(track: Track) -> tuple[object, ...]:
    return track.track_id, track.frames, track.boxes.tolist(), track.detected, track.score


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 8), st.integers(1, 6), st.randoms(use_true_random=False))
def test_slow_faces_far_apart_keep_their_tracks_in_any_order(
    people: int, steps: int, stride: int, rng: random.Random
) -> None:
    lines = [[(t * stride, _face(500 * p + 3 * t, 2 * t)) for t in range(steps)] for p in range(people)]
    frames = [(t * stride, [line[t][1] for line in lines]) for t in range(steps)]
    tracks = track_faces(frames)
    shuffled = track_faces([(t, rng.sample(faces, len(faces))) for t, faces in frames])
    assert [_key(t) for t in tracks] == [_key(t) for t in shuffled]
    assert len(tracks) == people
    for person, track in enumerate(tracks):
        assert len(track.frames) == len(track.boxes) == (steps - 1) * stride + 1
        assert track.boxes[:, 0] == pytest.approx(500 * person + 3 * np.array(track.frames) / stride)
