"""SVFR's ablation, `reports/ablation/`: the paper's Table 1 with our figures beside, and mid-block features.

`python -m stages.ablation` reads the rows that `flows.ablation` has finished; a row that is missing is said so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.ablation_rows import METRICS, ROWS, TASKS, WITH_ULR, WITHOUT_ULR, Ablation, figures
from stages.entry import main
from stages.feature_figure import feature_figure
from stages.layout import Layout
from stages.variants import COLUMNS, finished_folders, not_finished
from svfr.artifacts import write_json, write_text
from svfr.models.folder import load_model_folder
from svfr.params import Params
from svfr.training.config import TrainConfig
from svfr.training.features import Features, agreement, mid_features


def run(params: Params, root: Path) -> None:
    """Writes `table.md`, `figures.json` and `features.png`. Raises `UserError` if no row is finished."""
    root = root.resolve()
    config = TrainConfig.below(root, params.train)
    done: dict[str, dict[str, Any]] = {}
    features: dict[str, Features] = {}
    for name, folder in finished_folders(ROWS, root, "python -m flows.ablation").items():
        train, held_out = figures(folder)
        features[name] = mid_features(load_model_folder(Layout(folder).model), config)
        found = agreement(features[name])
        mid = {"same": found.same, "other": found.other, "gap": found.gap, "nearest": found.nearest}
        done[name] = {"train": train, "eval": held_out, "mid_block": mid}
    reports = Layout(root).reports / "ablation"
    write_json(reports / "figures.json", done)
    write_text(reports / "table.md", report(done))
    titles = {WITHOUT_ULR: "without ULR", WITH_ULR: "with ULR"}
    if shown := {title: features[name] for name, title in titles.items() if name in features}:
        feature_figure(shown, reports / "features.png")
    print(report(done))


def report(done: Mapping[str, Mapping[str, Any]]) -> str:
    """Both tables as Markdown: the paper's layout (ours / paper), then what the losses did to the features."""
    head = "| row | | " + " | ".join(COLUMNS[metric] for metric in METRICS) + " |"
    lines = ["Cells: bfr / color / inpaint; `-`: not measured. The paper's are on VFHQ-test, ours on held-out pairs."]
    lines += ["", head, "|---" * (len(METRICS) + 2) + "|"]
    for row in ROWS:
        ours = done.get(row.name, {}).get("eval", {})
        lines.append(f"| {row.title} | ours | " + " | ".join(_ours(ours, metric) for metric in METRICS) + " |")
        if row.paper:
            lines.append("| | paper | " + " | ".join(_paper(row, metric) for metric in METRICS) + " |")
    lines += ["", "Mid-block features: cosines of two views, nearest neighbours; landmark error in pixels of 256.", ""]
    lines += ["| row | same clip | other clips | gap | nearest shows the same clip | landmarks |", "|---" * 6 + "|"]
    lines += [_features(row, done[row.name]) for row in ROWS if row.name in done]
    return "\n".join([*lines, *not_finished(ROWS, done)]) + "\n"


def _ours(summary: Mapping[str, Any], metric: str) -> str:
    cells = [summary.get(task, {}).get(metric, {}).get("model") for task in TASKS]
    return " / ".join("-" if value is None else f"{value:.3f}" for value in cells)


def _paper(row: Ablation, metric: str) -> str:
    return " / ".join(f"{value:.3f}" for value in row.paper[metric])


def _features(row: Ablation, found: Mapping[str, Any]) -> str:
    mid, train = found["mid_block"], found["train"]
    error = f"{train['landmark_px']:.1f}" if "landmark_px" in train else "-"
    cosines = " | ".join(f"{mid[name]:.3f}" for name in ("same", "other", "gap", "nearest"))
    return f"| {row.title} | {cosines} | {error} |"


if __name__ == "__main__":
    main(run)
