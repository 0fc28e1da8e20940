"""A folder of videos restored with the model that the registry calls champion."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prefect import flow

from flows.child import run_child
from flows.entry import call


@flow(name="restore", log_prints=True)
def restore(source: str = "data/old", destination: str = "restored", model: str = "", root: str = ".") -> None:
    """Restores every video of `source` into `destination` on Ray actors; finished ones are skipped.

    `model` is a registry URI (`models:/svfr@champion`) or a model folder; empty takes `restore.model` of params.yaml.
    """
    command = [sys.executable, "-m", "stages.restore", "--input", source, "--output", destination]
    run_child([*command, *(["--model", model] if model else [])], Path(root))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=restore.description)
    parser.add_argument("--source", default="data/old")
    parser.add_argument("--destination", default="restored")
    parser.add_argument("--model", default="", help="models:/NAME@ALIAS or a model folder")
    call(restore, **vars(parser.parse_args()))
