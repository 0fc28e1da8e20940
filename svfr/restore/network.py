"""What the engine asks of a model family: frames of one face in, restored frames out, a reference if it uses one.

A family is a class with these names and a loader in `svfr.restore.model.LOADERS`. The engine does the rest: it finds
and follows faces, cuts crops, keeps finished segments, pastes back, and calls again with less to do at once when memory
runs out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svfr.diffusion.selfref import Anchor, Quality
from svfr.errors import UserError
from svfr.faces.embed import Embedder
from svfr.params import RestoreOptions

__all__ = ["Anchor", "Network", "Quality", "WithoutReference"]


class Network(Protocol):
    """One loaded model. Everything it does is a function of its arguments: equal calls, equal results."""

    family: str
    size: int
    """Side S of the square crops it takes and returns; any other size never reaches it."""
    window: int
    """Frames it looks at together. Shorter clips are the network's own to pad, down to a single frame."""
    least_overlap: int
    """Frames that neighbouring windows share at least, whatever the options say."""
    tasks: frozenset[str]
    """Which of bfr, color, inpaint and deflicker it can do; the engine refuses others before any work."""
    refers: bool
    """Whether `restore` uses an anchor. If not, `choose_anchor` and `tokens` are never called."""
    most_splits: int
    """How often work can be halved for want of memory; see `restore`."""
    device: torch.device
    embedder: Embedder
    """The network that identity distances and links between tracks are measured with."""

    def restore(
        self, crops: Iterator[Tensor], anchor: Anchor | None, options: RestoreOptions, splits: int = 0
    ) -> Iterator[Tensor]:
        """Restored frames (K,3,S,S), about [-1,1], float32 on the CPU, in order and as many as went in.

        `crops`: pieces (K,3,S,S) in [-1,1], grey for task color and white in holes for task inpaint, read only as far
        ahead as needed. `splits` in 0..`most_splits`: how often the work on the device at one time is to be halved.
        Raises `torch.OutOfMemoryError` or `MemoryError` where it still does not fit.
        """
        ...

    def choose_anchor(self, crops_K3SS: Tensor, quality: Quality, options: RestoreOptions, splits: int = 0) -> Anchor:
        """Restores a first window without a reference and returns its best frame by `quality`; tokens are None."""
        ...

    def tokens(self, reference_3SS: Tensor, landmarks68: NDArray[np.float64]) -> Tensor | None:
        """Identity tokens (L,D) of a reference about [-1,1] whose face has `landmarks68` (68,2); None without any."""
        ...


class WithoutReference:
    """What `Network` asks of a family that uses no reference frame; a base class for such."""

    refers = False

    def choose_anchor(self, crops_K3SS: Tensor, quality: Quality, options: RestoreOptions, splits: int = 0) -> Anchor:
        """Raises `UserError`: the engine does not ask a network that does not refer."""
        raise UserError("this network has no reference frame")

    def tokens(self, reference_3SS: Tensor, landmarks68: NDArray[np.float64]) -> Tensor | None:
        """None: no identity tokens."""
        return None
