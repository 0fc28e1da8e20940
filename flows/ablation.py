"""The paper's ablation on this project's data: five settings of the lambdas, and SVFR without ULR, FPL or SRR."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prefect import flow, task

from flows.child import run_child
from flows.entry import call
from stages.ablation_rows import ROWS, finished, row_folder, row_named


@task(name="ablation", task_run_name="{name}", retries=1, retry_delay_seconds=10)
def ablate(name: str, root: Path) -> None:
    """Trains and evaluates one row; a finished one is not run again, an interrupted one goes on."""
    folder = row_folder(root, row_named(name))
    if finished(folder):
        return
    for stage in ("train", "evaluate"):
        run_child([sys.executable, "-m", f"stages.{stage}"], folder)


@flow(name="ablation", log_prints=True)
def ablation(rows: list[str] | None = None, root: str = ".") -> None:
    """Runs `rows` (default: all), one after the other, then writes `reports/ablation/`."""
    folder = Path(root).resolve()
    for name in rows or [row.name for row in ROWS]:
        ablate(name, folder)
    run_child([sys.executable, "-m", "stages.ablation"], folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=ablation.description, epilog=f"rows: {', '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("rows", nargs="*", help="names of rows; default: all")
    call(ablation, rows=parser.parse_args().rows)
