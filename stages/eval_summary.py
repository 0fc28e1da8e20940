"""Means of an evaluation: how they are formed, ordered, printed and judged. Plain numbers, no networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from svfr.metrics.registry import NAMES
from svfr.tables import Row

Values = dict[str, float]
Summary = dict[str, dict[str, Values]]  # task -> metric -> {model, degraded, <baseline>, gain, pairs}
DEGRADED, MODEL, TRUTH = "degraded", "model", "truth"
COSTS = ("seconds_frame", "memory_mib")
TASKS = ("bfr", "color", "inpaint")


def task_name(pair: Row) -> str:
    """`bfr`, `color`, `inpaint` or a combination such as `bfr+color`."""
    return "+".join(task for task in TASKS if pair[task])


def summarise(rows: Sequence[Row], digest: str, higher: Mapping[str, bool]) -> Summary:
    """Means over pairs: task -> metric -> restorer -> value, and `gain`: the model's advantage over the input.

    `digest` names the model's rows; `higher` says of each metric whether more is better. Only pairs for which every
    restorer has the metric count, so all means are over the same pairs.
    """
    cells: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        name = MODEL if row["model"] == digest else row["model"]
        cells[row["task"], row["metric"]][name][row["pair_id"]] = row["value"]
    summary: Summary = defaultdict(dict)
    for (task, metric), values in sorted(cells.items()):
        common = set.intersection(*(set(found) for found in values.values()))
        if common and {MODEL, DEGRADED} <= set(values):
            means = {name: fmean(found[pair] for pair in sorted(common)) for name, found in values.items()}
            sign = 1 if higher[metric] else -1
            summary[task][metric] = means | {"gain": sign * (means[MODEL] - means[DEGRADED]), "pairs": len(common)}
    return dict(summary)


def costs(rows: Sequence[Row]) -> Summary:
    """What each restorer took, by task: `seconds_frame`, mean over pairs, and `memory_mib`, the most of any pair.

    `model` names a row's restorer. The degraded input, which takes nothing, is left out.
    """
    pairs: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row["model"] != DEGRADED:
            pairs[row["task"], row["model"]][row["pair_id"]] = row
    found: Summary = defaultdict(lambda: {name: {} for name in COSTS})
    for (task, name), own in sorted(pairs.items()):
        found[task]["seconds_frame"][name] = fmean(row["seconds"] / row["n_frames"] for row in own.values())
        memory = [row["memory_mib"] for row in own.values() if row["memory_mib"] is not None]
        if memory:
            found[task]["memory_mib"][name] = max(memory)
    return dict(found)


def cost_rows(taken: Summary) -> list[tuple[str, str, float, float | None]]:
    """(task, restorer, seconds a frame, MiB or None where the system does not say), tasks in the usual order."""
    return [
        (task, name, seconds, taken[task]["memory_mib"].get(name))
        for task in sorted(taken, key=_reading_order)
        for name, seconds in taken[task]["seconds_frame"].items()
    ]


def cost_table(taken: Summary) -> str:
    """The costs as lines of text."""
    lines = [f"{'task':<20} {'restorer':<18}{'ms a frame':>12}{'MiB':>12}"]
    for task, name, seconds, mib in cost_rows(taken):
        memory = f"{'-':>12}" if mib is None else f"{mib:>12.0f}"
        lines.append(f"{task:<20} {name:<18}{1e3 * seconds:>12.1f}{memory}")
    return "\n".join(lines)


def _reading_order(task: str) -> tuple[int, str]:
    return task.count("+"), task


def ordered(summary: Summary) -> list[tuple[str, list[tuple[str, Values]]]]:
    """Tasks from single to combined, metrics from pixels to distributions: the order in which people read them."""
    tasks = sorted(summary, key=_reading_order)
    return [(task, sorted(summary[task].items(), key=lambda entry: NAMES.index(entry[0]))) for task in tasks]


def table(summary: Summary, baselines: Sequence[str]) -> str:
    """The means as lines of text, one a task and metric."""
    names = [DEGRADED, *baselines, MODEL, "gain"]
    lines = [f"{'task':<20} {'metric':<18}" + "".join(f"{name:>12}" for name in names)]
    for task, metrics in ordered(summary):
        for metric, values in metrics:
            cells = "".join(f"{values[name]:>12.4f}" if name in values else f"{'-':>12}" for name in names)
            lines.append(f"{task:<20} {metric:<18}{cells}")
    return "\n".join([*lines, f"{'':<20} gain: positive is better than the degraded input, whatever the metric"])


def verdicts(summary: Summary) -> list[str]:
    """For each task, whether the model beats the degraded input in PSNR, and by how much."""
    lines = []
    for task, metrics in ordered(summary):
        gain = dict(metrics).get("psnr", {}).get("gain")
        if gain is not None:
            kind = "better" if gain > 0 else "WORSE"
            lines.append(f"{task}: the model is {abs(gain):.2f} dB {kind} than the degraded input")
    return lines


def verdict(summary: Summary) -> str:
    """`verdicts` in one line."""
    lines = verdicts(summary)
    return "held-out PSNR, " + "; ".join(lines) if lines else "PSNR was not measured"


def flat(summary: Summary) -> dict[str, float]:
    """The means as `task/metric` (the model's) and `task/metric/<restorer>`, for MLflow; `+` becomes `-`."""
    figures = {}
    for task, metrics in summary.items():
        for metric, values in metrics.items():
            for name, value in values.items():
                key = f"{task.replace('+', '-')}/{metric}"
                figures[key if name == MODEL else f"{key}/{name}"] = float(value)
    return figures
