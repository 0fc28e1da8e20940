"""Who is in which split: by person and by source video, never by clip."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from svfr.artifacts import short_id
from svfr.errors import UserError
from svfr.params import DegradeParams
from svfr.tables import Row

SPLITS = ("test", "val", "train")  # who keeps a video that two splits claim with equally many clips
_BLOCK = 1024


def identities(clips: Sequence[Row], distance: float) -> dict[str, str]:
    """clip_id -> identity_id: clips nearer than `distance` (Euclidean, of mean face embeddings) show one person.

    Single linkage: two clips that a chain of near neighbours joins are one person, so one split holds them both.
    """
    embeddings_ND = np.asarray([clip["identity"] for clip in clips], np.float32)
    _, labels = connected_components(_near(embeddings_ND, distance), directed=False)
    members: dict[int, list[str]] = defaultdict(list)
    for clip, label in zip(clips, labels, strict=True):
        members[int(label)].append(clip["clip_id"])
    return {clip_id: short_id(min(ids)) for ids in members.values() for clip_id in ids}


def _near(embeddings_ND: NDArray[np.float32], distance: float) -> csr_array:
    """Sparse (N, N) adjacency, computed block by block so that N clips never need N x N numbers at once."""
    count = len(embeddings_ND)
    squares_N = (embeddings_ND**2).sum(1)
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    for start in range(0, count, _BLOCK):
        block = embeddings_ND[start : start + _BLOCK]
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b
        squared = squares_N[start : start + _BLOCK, None] + squares_N[None] - 2 * block @ embeddings_ND.T
        near_rows, near_columns = np.nonzero(squared < distance**2)
        rows.append(near_rows + start)
        columns.append(near_columns)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return csr_array((np.ones(len(row), bool), (row, column)), shape=(count, count))


def assign(clips: Sequence[Row], identity: dict[str, str], options: DegradeParams) -> dict[str, str]:
    """clip_id -> split. A person's split is a fixed function of the person's id, so added people move nobody.

    With one person only, source videos take the place of people. At least one group is held out for testing, and one
    for validation if `options.val_share` > 0 and three groups or more exist. Raises `UserError` with fewer than two.
    """
    one_person = len(set(identity.values())) == 1
    group = {c["clip_id"]: c["video_id"] if one_person else identity[c["clip_id"]] for c in clips}
    place = {name: _place(options.seed, name) for name in group.values()}
    ordered = sorted(place, key=place.__getitem__)
    if len(ordered) < 2:
        raise UserError("degrade: every clip comes from one video of one person, nothing can be held out: add a source")
    test, val = options.test_share, options.val_share
    split = {name: "test" if place[name] < test else "val" if place[name] < test + val else "train" for name in ordered}
    wanted = ["test"] + (["val"] if val > 0 and len(ordered) > 2 else [])
    for index, name in enumerate(wanted):
        if name not in split.values():
            split[ordered[index]] = name
    if "train" not in split.values():
        split[ordered[-1]] = "train"
    return {clip_id: split[name] for clip_id, name in group.items()}


def conflicts(clips: Sequence[Row], split: dict[str, str]) -> set[str]:
    """Clips to leave out because their video is in another split: the split with most of its clips keeps a video.

    If that left nothing to train on or nothing to test, videos change hands until both have some; validation may end
    with none. Raises `UserError` where no choice of owners can do that.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        votes[clip["video_id"]][split[clip["clip_id"]]] += 1
    owner = {video: max(SPLITS, key=lambda name: (count[name], -SPLITS.index(name))) for video, count in votes.items()}
    for poor, rich in (("train", "test"), ("test", "train")):
        _endow(poor, rich, owner, votes)
    if not {"train", "test"} <= set(owner.values()):
        raise UserError("degrade: one video shows everyone, so nothing can be held out: add a source of other people")
    return {clip["clip_id"] for clip in clips if owner[clip["video_id"]] != split[clip["clip_id"]]}


def _endow(poor: str, rich: str, owner: dict[str, str], votes: dict[str, Counter[str]]) -> None:
    """Gives `poor`, if it owns no video, those that it has clips in, but `rich` keeps one."""
    if poor in owner.values():
        return
    for video in sorted(video for video, count in votes.items() if count[poor]):
        if owner[video] != rich or list(owner.values()).count(rich) > 1:
            owner[video] = poor
            if poor == "test":
                return


def _place(seed: int, name: str) -> float:
    """A uniform number in [0, 1) that belongs to `name` for good."""
    return int(short_id([seed, name]), 16) / 2.0**64
