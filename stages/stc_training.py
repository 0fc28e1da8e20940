"""Both training stages of BFVR-STC, on the same workers as SVFR's; checkpoints live in `cache/train-stc/`."""

from __future__ import annotations

from pathlib import Path

from stages.layout import Layout
from stages.train_log import MlflowLog
from stages.train_run import last_figures, run_to_end
from svfr.artifacts import write_json, write_text
from svfr.params import Params
from svfr.training.history import history_csv, read_history
from svfr.training.stc.config import Stage, STCTrainConfig
from svfr.training.stc.export import export_model
from svfr.training.stc.loop import frame_side, train


def run_stage(params: Params, root: Path, stage: Stage) -> None:
    """Trains `stage` and writes its model folder and `reports/stc-<stage>/`; errors as in `run_to_end`."""
    layout = Layout(root.resolve())
    config = STCTrainConfig.below(layout.root, params.stc, stage)
    folder, name = config.run_dir(), f"stc-{stage}"
    log = MlflowLog(params.register_, config.network.model_dump() | config.params.model_dump(), folder, layout.root)
    export_model(config, run_to_end(name, config, train, log), frame_side(config))
    rows = read_history(folder)
    write_text(layout.reports / name / "history.csv", history_csv(rows))
    figures = {figure: float(f"{value:.6g}") for figure, value in last_figures(rows).items()}
    write_json(layout.reports / name / "metrics.json", figures)
    log.finish("FINISHED", [layout.reports / name, *sorted(folder.glob("previews/*.png"))])
