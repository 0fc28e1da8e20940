"""One DVC stage as one Prefect task."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from flows.child import run_child
from svfr.errors import UserError


@task(name="stage", task_run_name="{name}")
def stage(name: str, root: Path = Path(), force: bool = False) -> None:
    """Brings DVC stage `name` up to date; what is up to date already is not run again.

    Raises `UserError` if the stage fails, or if `root` is no checkout of this project.
    """
    if not (root / "dvc.yaml").exists():
        raise UserError(f"{root.resolve()} holds no dvc.yaml: run from the project's root")
    run_child(["dvc", "repro", "--single-item", *(["--force"] if force else []), name], root)
