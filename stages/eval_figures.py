"""Pictures and curves of an evaluation: contact sheet, bars of PSNR, a CSV for plots."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from stages.engine import Outcome
from stages.eval_summary import DEGRADED, MODEL, TRUTH, Summary, ordered, task_name
from svfr.artifacts import atomic_write
from svfr.params import EvaluateParams
from svfr.tables import Row

INK, MUTED = "#1d2330", "#6b7385"
COLOURS = {DEGRADED: "#b9c0cc", "classical": "#7f93b2", MODEL: "#e4572e"}
TITLES = {DEGRADED: "degraded", "classical": "classical", MODEL: "restored", TRUTH: "truth"}
_NONE: Mapping[str, Outcome] = {}
_TILE = 2.1  # inches
_DPI = 120


def contact_sheet(
    outcome: Outcome, pairs: Sequence[Row], options: EvaluateParams, path: Path, others: Mapping[str, Outcome] = _NONE
) -> None:
    """The middle frame of a few pairs of each task, one row a pair: degraded, baselines, restored, truth.

    `others`: outcomes of further models by name; a column each, empty for tasks that a model does not have.
    """
    columns = [DEGRADED, *options.baselines, MODEL, *others, TRUTH]
    rows = [(task, _pictures(outcome, others, pair_id)) for task, pair_id in _chosen(outcome, pairs, options)]
    size = (_TILE * len(columns) + 0.5, (_TILE + 0.08) * len(rows) + 0.5)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    axes = np.asarray(figure.subplots(len(rows), len(columns), squeeze=False))
    for line, (task, files) in enumerate(rows):
        for column, name in enumerate(columns):
            axis = axes[line, column]
            axis.set(xticks=[], yticks=[])
            if f"{name}.png" in files:
                axis.imshow(np.asarray(Image.open(io.BytesIO(files[f"{name}.png"]))), interpolation="lanczos")
            for side in axis.spines.values():
                side.set_visible(False)
            if line == 0:
                axis.set_title(TITLES.get(name, name), fontsize=11, color=INK, pad=7, weight="bold")
            if column == 0:
                axis.set_ylabel(task, fontsize=9, color=MUTED, labelpad=6)
    figure.subplots_adjust(
        left=0.42 / size[0],
        right=1 - 0.06 / size[0],
        top=1 - 0.4 / size[1],
        bottom=0.06 / size[1],
        wspace=0.03,
        hspace=0.03,
    )
    save(figure, path)


def _pictures(outcome: Outcome, others: Mapping[str, Outcome], pair_id: str) -> dict[str, bytes]:
    """The stored pictures of a pair by file name; another model's is called after the model."""
    files = dict(outcome.cache.get(outcome.keys[pair_id]) or {})
    for name, other in others.items():
        found = other.cache.get(other.keys[pair_id]) if pair_id in other.keys else None
        files |= {f"{name}.png": found[f"{MODEL}.png"]} if found else {}
    return files


def _chosen(outcome: Outcome, pairs: Sequence[Row], options: EvaluateParams) -> list[tuple[str, str]]:
    """(task, pair_id) of the sheet's rows: `sheet_rows` a task, of different people as far as there are."""
    by_task: dict[str, list[Row]] = defaultdict(list)
    for pair in pairs:
        if pair["pair_id"] in outcome.keys:
            by_task[task_name(pair)].append(pair)
    chosen = []
    for task in sorted(by_task, key=lambda name: (name.count("+"), name)):
        seen: dict[str, int] = defaultdict(int)
        ranked = []
        for pair in by_task[task]:
            ranked.append((seen[pair["identity_id"]], pair["pair_id"]))
            seen[pair["identity_id"]] += 1
        chosen += [(task, pair_id) for _, pair_id in sorted(ranked)[: options.sheet_rows]]
    return chosen


def psnr_chart(summary: Summary, path: Path) -> None:
    """Bars of the mean held-out PSNR by task, for the input, the baselines and the model."""
    tasks = [task for task, _ in ordered(summary) if "psnr" in summary[task]]
    found = dict.fromkeys(name for task in tasks for name in summary[task]["psnr"])
    names = [DEGRADED, *(name for name in found if name not in ("gain", "pairs", MODEL, DEGRADED)), MODEL]
    figure = Figure(figsize=(1.6 + 1.5 * max(len(tasks), 2), 3.2), dpi=_DPI, facecolor="white")
    axis = figure.subplots()
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        has = [place for place, task in enumerate(tasks) if name in summary[task]["psnr"]]
        heights = [summary[tasks[place]]["psnr"][name] for place in has]
        places = np.array(has) + (number - (len(names) - 1) / 2) * width
        bars = axis.bar(places, heights, width * 0.92, label=TITLES.get(name, name), color=COLOURS.get(name, "#9aa"))
        axis.bar_label(bars, fmt="%.1f", fontsize=8, color=INK, padding=2)
    axis.margins(y=0.12)
    axis.set_xticks(range(len(tasks)), tasks, fontsize=9)
    axis.set_ylabel("PSNR, dB", color=MUTED, fontsize=9)
    plain(axis)
    axis.legend(frameon=False, fontsize=9, ncol=len(names), loc="upper center", bbox_to_anchor=(0.5, 1.15))
    figure.tight_layout()
    save(figure, path)


def psnr_csv(rows: Sequence[Row], digest: str) -> str:
    """PSNR of every pair and restorer as CSV text, for `dvc plots`."""
    pairs: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["metric"] == "psnr":
            pairs[row["task"], row["pair_id"]][MODEL if row["model"] == digest else row["model"]] = row["value"]
    names = sorted({name for values in pairs.values() for name in values})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["task", "pair_id", *names])
    for (task, pair_id), values in sorted(pairs.items()):
        table.writerow([task, pair_id, *(f"{values[name]:.4f}" if name in values else "" for name in names)])
    return text.getvalue()


def plain(axis: Any) -> None:
    """A chart without frame: light grid, muted ticks."""
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color("#d5d9e0")
    axis.grid(axis="y", color="#eceff3", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=MUTED, labelsize=8, length=0)


def save(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG without a date or version in it."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
