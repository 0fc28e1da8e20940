"""The figures of a run, one JSON line a step: written as they come, cut back when a run resumes, read by anyone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from svfr.artifacts import write_text

FILE = "metrics.jsonl"
# what differs between two runs of one configuration
TIMING = (
    "seconds",
    "data_seconds",
    "views_per_second",
    "memory_mb",
    "mfu",
)

Row = dict[str, float]


class History:
    """Appends rows to `<folder>/metrics.jsonl`; figures that are not finite are left out of a row."""

    def __init__(self, folder: Path, resumed_step: int) -> None:
        """Keeps rows of steps up to `resumed_step`, those that the checkpoint has seen."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        kept = [row for row in read_history(folder) if row["step"] <= resumed_step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def append(self, row: Row) -> None:
        """Writes one row, at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({k: v for k, v in row.items() if math.isfinite(v)}) + "\n")


def read_history(folder: Path) -> list[Row]:
    """All whole rows, in order; a last line cut short by a kill is left out."""
    path = folder / FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line]


def history_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV without timing, `step` first; empty where a row has no such figure."""
    names = sorted({name for row in rows for name in row} - {"step", *TIMING})
    lines = [",".join(["step", *names])]
    lines += [",".join([f"{row['step']:g}", *(f"{row[n]:.6g}" if n in row else "" for n in names)]) for row in rows]
    return "\n".join(lines) + "\n"
