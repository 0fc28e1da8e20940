"""Stage 6: trains the restorer on Ray Train workers with Accelerate inside, then writes it as a model folder."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from stages.entry import main
from stages.layout import Layout
from stages.train_log import MlflowLog
from stages.train_run import last_figures, run_to_end
from svfr.artifacts import write_json, write_text
from svfr.params import Params, TrainParams
from svfr.training.config import TrainConfig
from svfr.training.export import export_model
from svfr.training.history import Row, history_csv, read_history
from svfr.training.index import VIEWS
from svfr.training.loop import train


def run(params: Params, root: Path) -> None:
    """Writes `models/svfr/`, `reports/train/metrics.json` and `history.csv`; errors as in `run_to_end`."""
    layout = Layout(root.resolve())
    config = TrainConfig.below(layout.root, params.train)
    if not any(pair["split"] == "val" for pair in layout.read("pairs")):
        print("train: no pair is of split val (degrade.val_share), so there is no held-out loss", file=sys.stderr)
    log = MlflowLog(params.register_, params.train.model_dump(), config.run_dir(), layout.root)
    export_model(config, run_to_end("train", config, train, log), layout.model)
    _report(config.run_dir(), layout.reports / "train", params.train)
    log.finish("FINISHED", [layout.reports / "train"])


def _report(folder: Path, reports: Path, params: TrainParams) -> None:
    """Final figures and the whole history."""
    rows = read_history(folder)
    write_text(reports / "history.csv", history_csv(rows))
    write_json(reports / "metrics.json", final_figures(rows, params))


def final_figures(rows: list[Row], params: TrainParams) -> dict[str, float]:
    """The figures of a finished run by name; `views` counts degraded windows over all workers."""
    figures = last_figures(rows)
    views = VIEWS * params.batch_clips * params.accumulate
    figures |= {"views_per_second": views * figures["steps_per_second"]}
    figures |= {"mfu": median(row.get("mfu", 0.0) for row in rows)}
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


if __name__ == "__main__":
    main(run)
