"""Loss curves as a PNG."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from stages.eval_figures import COLOURS, INK, MUTED, plain, save
from stages.eval_summary import MODEL

_NOT_A_LOSS = ("step", "lr", "skipped", "grad_norm", "seconds")
_MOST = 6  # curves shown
_SMOOTH = 0.95  # weight of the past in the smoothed line


def loss_curves(history: Path, path: Path) -> bool:
    """One panel for each loss of `history.csv`: the steps, their running mean, and the held-out value if there is one.

    Returns False, and writes nothing, if the file holds no losses.
    """
    columns = _columns(history)
    steps = columns.get("step", [])
    names = [n for n in columns if n not in _NOT_A_LOSS and not n.startswith("val_") and _finite(columns[n])]
    names = sorted(names, key=lambda name: (name != "loss", name))[:_MOST]
    if not names:
        return False
    figure = Figure(figsize=(3.4 * min(len(names), 3), 2.5 * math.ceil(len(names) / 3)), dpi=120, facecolor="white")
    axes = figure.subplots(math.ceil(len(names) / 3), min(len(names), 3), squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        points = [(s, v) for s, v in zip(steps, columns[name], strict=True) if math.isfinite(v)]
        x, y = [p[0] for p in points], [p[1] for p in points]
        axis.plot(x, y, color="#d7dbe3", linewidth=0.8)
        axis.plot(x, _running_mean(y), color=INK, linewidth=1.6, label="training")
        held = _held_out(columns, name)
        if held:
            axis.plot(*zip(*held, strict=True), color=COLOURS[MODEL], marker="o", markersize=3.5, label="held out")
            axis.legend(frameon=False, fontsize=7)
        axis.set_title(name.replace("_", " "), fontsize=10, color=INK, loc="left", weight="bold")
        axis.set_xlabel("step", fontsize=8, color=MUTED)
        if min(y) > 0 and max(y) > 30 * min(y):
            axis.set_yscale("log")
        plain(axis)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    figure.tight_layout()
    save(figure, path)
    return True


def _columns(history: Path) -> dict[str, list[float]]:
    """Column -> values, NaN where a cell is empty."""
    with history.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else {})}


def _held_out(columns: dict[str, list[float]], name: str) -> list[tuple[float, float]]:
    values = columns.get(f"val_{name}", [])
    return [(s, v) for s, v in zip(columns["step"], values, strict=False) if math.isfinite(v)]


def _finite(values: Sequence[float]) -> bool:
    return any(math.isfinite(value) for value in values)


def _running_mean(values: Sequence[float]) -> list[float]:
    """Exponential mean without the bias of its start: m_t = sum_i b^(t-i) x_i / sum_i b^(t-i)."""
    total, weight, means = 0.0, 0.0, []
    for value in values:
        total, weight = _SMOOTH * total + value, _SMOOTH * weight + 1
        means.append(total / weight)
    return means
