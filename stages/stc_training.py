"""Both training stages of BFVR-STC, on the same workers as SVFR's; checkpoints live in `cache/train-stc/`."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean, median

from stages.layout import Layout
from stages.train import fit, prepare, steps_done
from stages.train_follow import Follower
from stages.train_log import MlflowLog
from svfr.artifacts import write_json, write_text
from svfr.params import Params
from svfr.training.checkpoint import complete_checkpoints
from svfr.training.history import TIMING, Row, history_csv, read_history
from svfr.training.stc.config import Stage, STCTrainConfig
from svfr.training.stc.export import export_model
from svfr.training.stc.loop import frame_side, train


def run_stage(params: Params, root: Path, stage: Stage) -> None:
    """Trains `stage` and writes its model folder and `reports/stc-<stage>/`.

    Raises `UserError` for unusable inputs or a run that failed for good; exits with status 143, everything saved,
    when it is asked to stop by SIGTERM.
    """
    layout = Layout(root.resolve())
    config = STCTrainConfig.below(layout.root, params.stc, stage)
    folder, steps, name = config.run_dir(), config.params.steps, f"stc-{stage}"
    prepare(folder)
    log = MlflowLog(params.register_, config.network.model_dump() | config.params.model_dump(), folder, layout.root)
    with Follower(folder, steps, log.send):
        if steps_done(folder) < steps:
            fit(config, folder, train)
    if steps_done(folder) < steps:
        print(f"{name}: stopped at step {steps_done(folder)} and saved; run again to go on", file=sys.stderr)
        log.finish("KILLED", [])
        sys.exit(143)
    export_model(config, complete_checkpoints(folder / "checkpoints")[-1], frame_side(config))
    rows = read_history(folder)
    write_text(layout.reports / name / "history.csv", history_csv(rows))
    write_json(layout.reports / name / "metrics.json", final_figures(rows))
    log.finish("FINISHED", [layout.reports / name, *sorted(folder.glob("previews/*.png"))])


def final_figures(rows: list[Row]) -> dict[str, float]:
    """The figures of a finished run: means of the last tenth of its steps, the last held-out losses, speed."""
    last = rows[-max(1, len(rows) // 10) :]
    names = {name for row in last for name in row} - {"step", "lr", "skipped", *TIMING}
    figures = {name: fmean(row[name] for row in last if name in row) for name in names}
    figures |= {name: value for row in rows for name, value in row.items() if name.startswith("val_")}
    figures |= {"steps": rows[-1]["step"], "skipped": rows[-1]["skipped"]}
    figures |= {"steps_per_second": 1 / median(row["seconds"] for row in rows)}
    figures |= {"memory_mb": max(row["memory_mb"] for row in rows)}
    return {name: float(f"{value:.6g}") for name, value in figures.items()}
