"""Both training stages of BFVR-STC, on the same workers as SVFR's; checkpoints live in `cache/train-stc/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.layout import Layout
from stages.stc_reconstruction import reconstruct
from stages.train_log import MlflowLog
from stages.train_run import last_figures, run_to_end
from svfr.artifacts import write_json, write_text
from svfr.params import Params
from svfr.training.history import history_csv, read_history
from svfr.training.stc.config import Stage, STCTrainConfig
from svfr.training.stc.export import export_model
from svfr.training.stc.loop import frame_side, train


def run_stage(params: Params, root: Path, stage: Stage) -> None:
    """Trains `stage` and writes its model folder and `reports/stc-<stage>/`; errors as in `run_to_end`.

    Stage I is then tried on the held-out clips of the evaluate stage: its figures `held_out`, and `codes.csv`.
    """
    layout = Layout(root.resolve())
    config = STCTrainConfig.below(layout.root, params.stc, stage)
    folder, name = config.run_dir(), f"stc-{stage}"
    log = MlflowLog(params.register_, config.network.model_dump() | config.params.model_dump(), folder, layout.root)
    export_model(config, run_to_end(name, config, train, log), frame_side(config))
    rows = read_history(folder)
    write_text(layout.reports / name / "history.csv", history_csv(rows))
    figures: dict[str, Any] = rounded(last_figures(rows))
    held_out = params.evaluate
    if stage == "vqgan" and (found := reconstruct(config, held_out.split, held_out.max_frames)):
        figures["held_out"] = rounded(found.figures)
        write_text(layout.reports / name / "codes.csv", found.codes_csv())
    write_json(layout.reports / name / "metrics.json", figures)
    log.finish("FINISHED", [layout.reports / name, *sorted(folder.glob("previews/*.png"))])


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """To six digits, as they are written down."""
    return {name: float(f"{value:.6g}") for name, value in figures.items()}
