"""What `svfr restore` and `svfr evaluate` do once their options are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from svfr.artifacts import write_json
from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.progress import Progress
from svfr.restore.batch import Order, plan, restore_one
from svfr.restore.inputs import Input, is_collection, read_inputs
from svfr.restore.ledger import finished, job_key, media_digest, model_choices, model_config, model_digest, settings_of
from svfr.restore.names import Outputs, output_name
from svfr.restore.report import FileReport, table, write_reports

_FLAGS = {"guidance_interval": "guide-within", "png_frames": "png", "link_faces": "link"}  # others are named alike


@dataclass(frozen=True)
class RestoreCommand:
    """One call of `svfr restore`. `choices` are fields of `RestoreOptions`; the model's own values fill the rest.

    `one_input`: a folder holds the frames of one video instead of many inputs. `report`: a folder for the report of a
    single file; a run over many writes its own beside its outputs.
    """

    source: Path
    destination: Path
    model: Path
    choices: dict[str, Any]
    device: str = "auto"
    dtype: str = "auto"
    one_input: bool = False
    report: Path | None = None

    def run(self) -> int:
        """Restores and prints what became of it; returns the exit status: 1 if files failed that may yet succeed."""
        options, digest = self._options(), model_digest(self.model)
        return self._many(options, digest) if self._collection else self._file(options, digest)

    def show_plan(self) -> int:
        """Prints what `run` would do, its network calls and scratch space, without loading a network."""
        from svfr.restore.cost import cost, total

        options, digest = self._options(), model_digest(self.model)
        folder = self.destination if self._collection else self._target(options).parent
        work = plan(self._inputs(), folder, digest, options)
        todo = work.todo
        if not self._collection:
            todo = [Order(order.name, order.source, self._target(options), order.options) for order in todo]
        costs = [cost(order, model_config(self.model)) for order in todo]
        for report in work.done:
            state = f"done by an earlier run ({report.status})" if report.skipped else report.message
            typer.echo(f"{report.input}: {state}")
        for order, price in zip(todo, costs, strict=True):
            typer.echo(f"{order.name} -> {order.destination}: {price.text}")
        typer.echo(f"{len(todo)} to do, {len(work.done)} done; costs are for one face through the whole file")
        typer.echo(total(costs, folder))
        return 0

    @property
    def _collection(self) -> bool:
        return is_collection(self.source) and not self.one_input

    def _file(self, options: RestoreOptions, digest: str) -> int:
        from svfr.restore.media import open_media

        target = self._target(options)
        if not self.source.exists():
            raise UserError(f"{self.source}: no such file or folder")
        key = job_key(media_digest(self.source), digest, settings_of(options))
        row = finished(Outputs(target).ledger, key)
        if row is not None and row["status"] != "refused":
            typer.echo(f"{target} is there already, made from the same input, model and settings")
            self._write_report(FileReport.from_row(row))
            return 0
        open_media(self.source)  # refused before the networks are loaded

        from svfr.restore import load_restorer, restore_video

        with Progress(self.source.name, 0, "frames") as progress:
            restorer = load_restorer(self.model, device=self.device, dtype=self.dtype)
            report = restore_video(self.source, target, model=restorer, options=options, progress=progress)
        typer.echo(table([report]))
        typer.echo(report.message or str(target))
        self._write_report(report)
        return 0

    def _write_report(self, report: FileReport) -> None:
        if self.report is not None:
            typer.echo(f"report: {write_reports(self.report, [report], self.destination.parent)}")

    def _many(self, options: RestoreOptions, digest: str) -> int:
        inputs = self._inputs()
        if self.source.resolve() == self.destination.resolve():
            raise UserError(f"{self.source}: input and output are the same folder; choose another destination")
        if self.destination.exists() and not self.destination.is_dir():
            raise UserError(f"{self.destination}: is a file; many inputs need a folder to write to")
        work = plan(inputs, self.destination, digest, options)
        reports = work.done
        if work.todo:
            reports = reports + self._restore_all(work.todo)
        page = write_reports(self.destination, reports)
        typer.echo(f"{table(reports)}\nreport: {page}")
        return int(any(report.status == "failed" for report in reports))

    def _restore_all(self, todo: list[Order]) -> list[FileReport]:
        from svfr.restore import load_restorer

        restorer = load_restorer(self.model, device=self.device, dtype=self.dtype)
        reports = []
        for number, order in enumerate(todo, 1):
            with Progress(f"[{number}/{len(todo)}] {order.name}", 0, "frames") as progress:
                reports.append(restore_one(order, restorer, progress))
        return reports

    def _inputs(self) -> list[Input]:
        if self._collection:
            return read_inputs(self.source)
        if not self.source.exists():
            raise UserError(f"{self.source}: no such file or folder")
        return [Input(self.source, self.source.name)]

    def _target(self, options: RestoreOptions) -> Path:
        if self.destination.is_dir() and not self.source.is_dir():
            return self.destination / output_name(self.source, options.codec)
        return self.destination

    def _options(self) -> RestoreOptions:
        own = model_choices(self.model)
        try:
            return RestoreOptions.model_validate({**own, **self.choices})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "options"
            raise UserError(
                f"--{_FLAGS.get(name, name.replace('_', '-'))} {first['input']!r}: {first['msg']}"
            ) from None


def evaluate_command(restored: Path, truth: Path, metrics: Sequence[str], frames: int, output: Path | None) -> None:
    """Prints the rows of `svfr.metrics.compare.compare_videos`, and writes them as JSON if asked to."""
    from svfr.metrics.compare import compare_videos

    rows = compare_videos(restored, truth, metrics, frames=frames)
    width = max(len(row["video"]) for row in rows)
    for row in rows:
        value = row["reason"] if row["value"] is None else f"{row['value']:.4f}"
        typer.echo(f"{row['video']:<{width}}  {row['metric']:<10} {value}")
    if output is not None:
        write_json(output, rows)
