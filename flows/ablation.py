"""The papers' ablations on this project's data: SVFR's lambdas and its parts, or BFVR-STC's design choices."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import flow, task

from flows.child import run_child
from flows.entry import call
from stages import ablation_rows, stc_ablation_rows
from stages.variants import Variant, named

FAMILIES: dict[str, tuple[Sequence[Variant], str]] = {  # rows, and the stage that reports on them
    "svfr": (ablation_rows.ROWS, "ablation"),
    "stc": (stc_ablation_rows.ROWS, "stc_ablation"),
}


@task(name="ablation", task_run_name="{family} {name}", retries=1, retry_delay_seconds=10)
def ablate(family: str, name: str, root: Path) -> None:
    """Trains and measures one row; a finished one is not run again, an interrupted one goes on."""
    row = named(FAMILIES[family][0], name)
    folder = row.folder(root)
    if not row.finished(folder):
        for stage in row.stages:
            run_child([sys.executable, "-m", f"stages.{stage}"], folder)


@flow(name="ablation", log_prints=True)
def ablation(family: str = "svfr", rows: list[str] | None = None, root: str = ".") -> None:
    """Runs `rows` (default: all), one after the other, then writes `reports/ablation/` or `reports/ablation-stc/`."""
    folder = Path(root).resolve()
    known, report = FAMILIES[family]
    for name in rows or [row.name for row in known]:
        ablate(family, name, folder)
    run_child([sys.executable, "-m", f"stages.{report}"], folder)


if __name__ == "__main__":
    listed = "; ".join(f"{family}: {', '.join(row.name for row in rows)}" for family, (rows, _) in FAMILIES.items())
    parser = argparse.ArgumentParser(description=ablation.description, epilog=f"rows of {listed}")
    parser.add_argument("--family", choices=FAMILIES, default="svfr", help="model family (default: svfr)")
    parser.add_argument("rows", nargs="*", help="names of rows; default: all")
    given = parser.parse_args()
    call(ablation, family=given.family, rows=given.rows)
