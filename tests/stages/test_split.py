"""Splits: no person and no video in two of them, and always something to learn from and something to test."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.split import assign, conflicts, identities
from svfr.errors import UserError
from svfr.params import DegradeParams

Row = dict[str, Any]
DISTANCE = 0.45


def clip(number: int, video: int, person: int) -> Row:
    """Person p's embedding is 1 in dimension p, with a little noise that differs between clips."""
    identity = np.eye(16)[person] + 0.02 * np.sin(np.arange(16) * (number + 1))
    return {"clip_id": f"c{number}", "video_id": f"v{video}", "identity": identity.tolist()}


CAST = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(cast=CAST, shares=st.sampled_from([(0.1, 0.0), (0.2, 0.2), (0.6, 0.0), (0.3, 0.6)]), seed=st.integers(0, 9))
def test_nothing_is_shared_between_splits(cast: list[tuple[int, int]], shares: tuple[float, float], seed: int) -> None:
    clips = [clip(number, video, person) for number, (video, person) in enumerate(cast)]
    options = DegradeParams(test_share=shares[0], val_share=shares[1], seed=seed)
    person = identities(clips, DISTANCE)
    assert len(set(person.values())) == len({p for _, p in cast})
    try:
        split = assign(clips, person, options)
        dropped = conflicts(clips, split)
    except UserError:
        one_video = len({v for v, _ in cast}) == 1
        assert one_video or shares[1] > 0  # the only person apart may have gone to validation
        return
    left = [c for c in clips if c["clip_id"] not in dropped]
    places: dict[str, set[str]] = defaultdict(set)
    for c in left:
        places[c["video_id"]].add(split[c["clip_id"]])
        if len(set(person.values())) > 1:
            places[person[c["clip_id"]]].add(split[c["clip_id"]])
    assert all(len(found) == 1 for found in places.values())
    assert {"train", "test"} <= {split[c["clip_id"]] for c in left}
    shuffled = clips[::-1]
    assert identities(shuffled, DISTANCE) == person
    assert assign(shuffled, person, options) == split
    assert conflicts(shuffled, split) == dropped


def test_people_are_joined_by_chains_of_likeness_across_blocks() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(3, 8))
    noise = rng.normal(size=(2500, 8)) * 0.02
    clips = [{"clip_id": f"c{i:04d}", "identity": (centres[i % 3] + step).tolist()} for i, step in enumerate(noise)]
    found = identities(clips, DISTANCE)
    assert len(set(found.values())) == 3
    assert all(found[f"c{i:04d}"] == found[f"c{i % 3:04d}"] for i in range(2500))
    chain = [{"clip_id": f"c{i}", "identity": [0.4 * i, 0.0]} for i in range(5)]
    assert len(set(identities(chain, DISTANCE).values())) == 1
    assert len(set(identities(chain[::2], DISTANCE).values())) == 3


def test_added_people_move_nobody_and_shares_are_kept() -> None:
    options = DegradeParams(test_share=0.2, val_share=0.1)
    person = {f"c{i}": f"p{i}" for i in range(2000)}
    clips = [{"clip_id": f"c{i}", "video_id": f"v{i}"} for i in range(2000)]
    whole = assign(clips, person, options)
    fewer = assign(clips[:1500], {k: person[k] for k in list(person)[:1500]}, options)
    assert fewer == {clip_id: whole[clip_id] for clip_id in fewer}
    counts = [list(whole.values()).count(name) / 2000 for name in ("test", "val", "train")]
    np.testing.assert_allclose(counts, [0.2, 0.1, 0.7], atol=0.03)
    assert assign(clips, person, DegradeParams(test_share=0.2, val_share=0.1, seed=1)) != whole


def test_one_person_is_split_by_video_and_one_video_not_at_all() -> None:
    clips = [clip(number, number % 2, 0) for number in range(4)]
    person = identities(clips, DISTANCE)
    split = assign(clips, person, DegradeParams())
    assert set(split.values()) == {"train", "test"}
    assert conflicts(clips, split) == set()
    with pytest.raises(UserError, match="nothing can be held out: add a source"):
        assign(clips[::2], identities(clips[::2], DISTANCE), DegradeParams())


def test_a_host_who_is_in_every_video_leaves_videos_to_train_on() -> None:
    clips = [row for v in range(8) for row in (clip(2 * v, v, 0), clip(2 * v + 1, v, 1 + v))]
    split = {c["clip_id"]: "test" if int(c["clip_id"][1:]) % 2 == 0 else "train" for c in clips}
    dropped = conflicts(clips, split)
    left = [split[c["clip_id"]] for c in clips if c["clip_id"] not in dropped]
    assert left.count("test") == 1
    assert left.count("train") == 7
