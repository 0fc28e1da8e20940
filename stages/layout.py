"""Where every stage finds its inputs and leaves its outputs, below the project's root."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from svfr.tables import Row, read_table, write_table

_FOLDER = {
    "videos": "videos",
    "clips": "clips",
    "scores": "scores",
    "pairs": "pairs",
    "latents": "latents",
    "results": "results",
}


@dataclass(frozen=True)
class Layout:
    """Paths of tables (`data/<table>/<table>.parquet`), their shards, their rejects, models and reports."""

    root: Path = Path()

    @property
    def sources(self) -> Path:
        """The list of sources that the download stage reads."""
        return self.root / "data" / "sources.csv"

    @property
    def base_model(self) -> Path:
        """The model folder that training starts from."""
        return self.root / "models" / "base"

    @property
    def model(self) -> Path:
        """The trained model folder."""
        return self.root / "models" / "svfr"

    @property
    def stc_vqgan(self) -> Path:
        """The model folder of STC's stage I."""
        return self.root / "models" / "stc-vqgan"

    @property
    def stc_model(self) -> Path:
        """The trained STC model folder."""
        return self.root / "models" / "stc"

    @property
    def reports(self) -> Path:
        """Figures and pages."""
        return self.root / "reports"

    def folder(self, table: str) -> Path:
        """The folder that holds `table` and what belongs to it."""
        return self.root / "data" / _FOLDER[table]

    def table(self, table: str) -> Path:
        """The Parquet file of `table`."""
        return self.folder(table) / f"{table}.parquet"

    def rejects(self, table: str) -> Path:
        """The rejects of the stage that makes `table`."""
        return self.folder(table) / "rejects.parquet"

    def shards(self, table: str) -> Path:
        """The folder of the tar shards that rows of `table` point into."""
        return self.folder(table) / "shards"

    def read(self, table: str, columns: Sequence[str] | None = None) -> list[Row]:
        """The rows of `table`, with all columns or those of `columns`; see `svfr.tables.read_table`."""
        return read_table(self.table(table), table, columns)

    def write(self, table: str, rows: Iterable[Row], rejects: Iterable[Row]) -> None:
        """Writes `table` and its rejects."""
        write_table(self.rejects(table), "rejects", rejects)
        write_table(self.table(table), table, rows)
