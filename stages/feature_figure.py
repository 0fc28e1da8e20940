"""A picture of mid-block features: each clip a colour, each point one of its degradations (SVFR's t-SNE check)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from svfr.artifacts import atomic_write
from svfr.training.features import Features, agreement
from svfr.training.ulr import centred


def feature_figure(shown: Mapping[str, Features], path: Path) -> None:
    """Writes a PNG with one t-SNE panel for each title; equal seeds, points of held-out clips are crosses."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(shown), 5), layout="constrained")
    for panel, (title, features) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        points_N2 = _embed(features)
        held_out = np.array([split == "test" for split in features.split])
        for marker, chosen in (("o", ~held_out), ("x", held_out)):
            panel.scatter(*points_N2[chosen].T, c=features.clip.numpy()[chosen], cmap="tab20", vmin=0,
                          vmax=int(features.clip.max()), marker=marker, s=24)  # fmt: skip
        found = agreement(features)
        panel.set_title(f"{title}\ncosine same clip {found.same:.3f}, other {found.other:.3f}", fontsize=10)
        panel.set_xticks([])
        panel.set_yticks([])
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _embed(features: Features) -> np.ndarray:
    """t-SNE (van der Maaten & Hinton 2008) of the centred, normalised features, (N,2)."""
    from sklearn.manifold import TSNE

    unit_NC = centred(features.values).numpy()
    perplexity = min(15.0, (len(unit_NC) - 1) / 3)
    embedded: np.ndarray = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(unit_NC)
    return embedded
