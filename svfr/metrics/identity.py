"""IDS and VIDD (VFRxBenchmark): is it the same person, and the same person in every frame?"""

from __future__ import annotations

import numpy as np

from svfr.errors import ItemError
from svfr.metrics.base import NO_HINTS, Frames, Hints, Metric, check_pair
from svfr.metrics.embedding import FaceEmbeddings


class _OfEmbeddings(Metric):
    """A metric that compares face embeddings and is named after their network."""

    def __init__(self, embeddings: FaceEmbeddings) -> None:
        self.embeddings = embeddings
        self.backend, self.network_sha256 = embeddings.backend, embeddings.network_sha256


class Ids(_OfEmbeddings):
    """IDS: mean over frames of cos(e(restored_t), e(truth_t)); 1 is the same person."""

    name, higher_is_better = "ids", True

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        frames = self.embeddings.usable(len(truth), hints)
        a_TD, b_TD = self.embeddings(restored, hints, frames), self.embeddings(truth, hints, frames)
        return float((a_TD * b_TD).sum(1).mean())


class Vidd(_OfEmbeddings):
    """VIDD: mean over consecutive frames of |e(restored_t+1) - e(restored_t)|, unit vectors, so in [0,2].

    It does not look at the truth, so a frozen video wins: read it beside the truth's own value and `flicker`.
    """

    name, higher_is_better = "vidd", False

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        frames = self.embeddings.usable(len(truth), hints)
        steps = np.flatnonzero(np.diff(frames) == 1)
        if not len(steps):
            raise ItemError("too_short", "VIDD needs two consecutive frames with a face")
        vectors_TD = self.embeddings(restored, hints, frames)
        return float(np.linalg.norm(vectors_TD[steps + 1] - vectors_TD[steps], axis=1).mean())
