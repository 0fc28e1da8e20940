"""What every `python -m stages.<name>` does around its `run`: read the parameters, show errors as one line."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from svfr.errors import UserError
from svfr.params import Params, load_params
from svfr.tables import Row

Run = Callable[[Params, Path], None]


def main(run: Run) -> None:
    """Runs a stage in the current folder. A `UserError` ends it with one line and exit status 2."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        run(load_params(), Path())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def funnel(rejects: Iterable[Row]) -> str:
    """`no_face 3, unreadable 1`: how many rows fell for each reason, most frequent first."""
    counts = Counter(row["reason"] for row in rejects)
    return ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def require_rows(stage: str, rows: Iterable[object], rejects: list[Row], rejects_file: Path) -> None:
    """Raises `UserError` with the funnel when a stage has nothing to hand on."""
    if not any(True for _ in rows):
        why = funnel(rejects) or "there were no inputs"
        raise UserError(f"{stage}: nothing is left to go on with ({why}); every refusal is a row of {rejects_file}")
