"""What `svfr restore` and `svfr evaluate` do once their options are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from svfr.artifacts import write_json
from svfr.errors import ItemError, UserError
from svfr.params import RestoreOptions
from svfr.progress import Progress
from svfr.restore.batch import plan, restore_one
from svfr.restore.ledger import finished, job_key, media_digest, model_digest, settings_of
from svfr.restore.names import Outputs, inputs_of, output_name
from svfr.restore.report import FileReport, table, write_reports


@dataclass(frozen=True)
class RestoreCommand:
    """One call of `svfr restore`. `choices` are fields of `RestoreOptions`; the model's own values fill the rest.

    `one_input`: a folder holds the frames of one video instead of many inputs.
    """

    source: Path
    destination: Path
    model: Path
    choices: dict[str, Any]
    device: str = "auto"
    dtype: str = "auto"
    one_input: bool = False

    def run(self) -> int:
        """Restores and prints what became of it; returns the exit status: 1 if files failed that may yet succeed."""
        options, digest = self._options(), model_digest(self.model)
        if self.source.is_dir() and not self.one_input:
            return self._folder(options, digest)
        return self._file(options, digest)

    def show_plan(self) -> int:
        """Prints what `run` would do, its network calls and scratch space, without loading a network."""
        options, digest = self._options(), model_digest(self.model)
        work = plan(self._inputs(), self._folder_of_outputs(), digest, options)
        window, size = self._config().get("window", 16), self._config().get("image_size", 512)
        for report in work.done:
            typer.echo(f"{report.input}: done by an earlier run ({report.status})")
        for source, destination in work.todo:
            typer.echo(f"{source.name} -> {destination}: {_cost(source, options, window, size)}")
        typer.echo(f"{len(work.todo)} to do, {len(work.done)} done; costs are for one face through the whole file")
        return 0

    def _file(self, options: RestoreOptions, digest: str) -> int:
        from svfr.restore import load_restorer, restore_video
        from svfr.restore.media import open_media

        target = self._target(self.source, options)
        key = job_key(media_digest(self.source), digest, settings_of(options))
        row = finished(Outputs(target).ledger, key)
        if row is not None and row["status"] != "refused":
            typer.echo(f"{target} is there already, made from the same input, model and settings")
            return 0
        open_media(self.source)  # refused before the networks are loaded
        with Progress(self.source.name, 0, "frames") as progress:
            restorer = load_restorer(self.model, device=self.device, dtype=self.dtype)
            report = restore_video(self.source, target, model=restorer, options=options, progress=progress)
        typer.echo(table([report]))
        typer.echo(report.message or str(target))
        return 0

    def _folder(self, options: RestoreOptions, digest: str) -> int:
        inputs = self._inputs()
        if self.source.resolve() == self.destination.resolve():
            raise UserError(f"{self.source}: input and output are the same folder; choose another destination")
        work = plan(inputs, self.destination, digest, options)
        reports = work.done
        if work.todo:
            reports = reports + self._restore_all(work.todo, options)
        page = write_reports(self.destination, reports)
        typer.echo(f"{table(reports)}\nreport: {page}")
        return int(any(report.status == "failed" for report in reports))

    def _restore_all(self, todo: list[tuple[Path, Path]], options: RestoreOptions) -> list[FileReport]:
        from svfr.restore import load_restorer

        restorer = load_restorer(self.model, device=self.device, dtype=self.dtype)
        reports = []
        for number, (source, destination) in enumerate(todo, 1):
            with Progress(f"[{number}/{len(todo)}] {source.name}", 0, "frames") as progress:
                reports.append(restore_one(source, destination, restorer, options, progress))
        return reports

    def _inputs(self) -> list[Path]:
        if not self.source.exists():
            raise UserError(f"{self.source}: no such file or folder")
        return inputs_of(self.source) if self.source.is_dir() and not self.one_input else [self.source]

    def _folder_of_outputs(self) -> Path:
        return self.destination if self.source.is_dir() and not self.one_input else self.destination.parent

    def _target(self, source: Path, options: RestoreOptions) -> Path:
        if self.destination.is_dir() and not source.is_dir():
            return self.destination / output_name(source, options.codec)
        return self.destination

    def _options(self) -> RestoreOptions:
        sampler = self._config().get("sampler", {})
        own = {"steps": sampler["steps"]} if "steps" in sampler else {}
        own |= {"guidance": sampler["guidance"][0]} if "guidance" in sampler else {}
        own |= {"overlap": sampler["overlap"]} if "overlap" in sampler else {}
        try:
            return RestoreOptions.model_validate({**own, **self.choices})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "options"
            raise UserError(f"--{name.replace('_', '-')} {first['input']!r}: {first['msg']}") from None

    def _config(self) -> dict[str, Any]:
        model_digest(self.model)
        config: dict[str, Any] = json.loads((self.model / "model.json").read_text(encoding="utf-8"))
        return config


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


def _cost(source: Path, options: RestoreOptions, window: int, size: int) -> str:
    from svfr.restore.media import open_media

    try:
        info = open_media(source).info
    except ItemError as error:
        return f"refused ({error.code}): {error}"
    frames = min(info.n_frames, options.max_frames) if options.max_frames else info.n_frames
    windows = max(1, -(-frames // max(1, window - options.overlap)))
    first = (options.reference_steps or options.steps) if options.self_refer and not options.reference else 0
    calls = windows * options.steps + first
    scratch = frames * size * size * 3 / 2**20
    return (
        f"{info.width} x {info.height}, {frames} frames, {info.duration:.1f} s; about {calls} network calls, "
        f"{scratch:.0f} MiB of scratch space"
    )
