"""Many files: what is to be done, what is done already, and one file at a time without ever ending the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from svfr.errors import ItemError, UserError, WeightsMissing
from svfr.params import RestoreOptions
from svfr.restore.ledger import finished, job_key, media_digest, settings_of, write_record
from svfr.restore.names import Outputs, output_name
from svfr.restore.report import FileReport

if TYPE_CHECKING:
    from svfr.restore.engine import Progress
    from svfr.restore.model import Restorer


@dataclass(frozen=True)
class Plan:
    """What a run has to do: (input, output) pairs that are left, and the reports of those that are finished."""

    todo: list[tuple[Path, Path]]
    done: list[FileReport]


def plan(inputs: Sequence[Path], output: Path, model_sha256: str, options: RestoreOptions) -> Plan:
    """Compares the ledger below the folder `output` with inputs, model and settings.

    An input counts as finished if it was restored, passed through or refused under the same key and its outputs still
    have the bytes that were written. Loads no network.
    """
    settings = settings_of(options)
    todo, done = [], []
    for source in inputs:
        destination = output / output_name(source, options.codec)
        key = job_key(media_digest(source), model_sha256, settings)
        row = finished(Outputs(destination).ledger, key)
        if row is None:
            todo.append((source, destination))
        else:
            done.append(replace(FileReport.from_row(row), skipped=True))
    return Plan(todo, done)


def restore_one(
    source: Path, destination: Path, restorer: Restorer, options: RestoreOptions, progress: Progress | None = None
) -> FileReport:
    """`restore_video` as a row: whatever goes wrong with this file is its status, reason and message.

    A refusal is recorded, so that the next run does not try again; a failure is not. Raises `WeightsMissing`, which no
    other file would survive either.
    """
    from svfr.restore.engine import restore_video

    try:
        return restore_video(source, destination, model=restorer, options=options, progress=progress)
    except WeightsMissing:
        raise
    except ItemError as error:
        return _refused(source, destination, restorer, options, error)
    except UserError as error:
        return _failed(source, restorer, "setup", str(error))
    except MemoryError as error:
        return _failed(source, restorer, "out_of_memory", str(error) or "no memory left")
    except Exception as error:
        return _failed(source, restorer, "error", f"{type(error).__name__}: {error}")


def failed(source: str, model_sha256: str, reason: str, message: str) -> FileReport:
    """The report of a file that could not be finished and is tried again by the next run."""
    return FileReport(input=source, status="failed", reason=reason, message=message, model_sha256=model_sha256)


def _failed(source: Path, restorer: Restorer, reason: str, message: str) -> FileReport:
    return failed(source.name, restorer.digest, reason, message)


def _refused(
    source: Path, destination: Path, restorer: Restorer, options: RestoreOptions, error: ItemError
) -> FileReport:
    report = replace(_failed(source, restorer, error.code, str(error)), status="refused")
    if not source.exists():
        return report
    settings, digest = settings_of(options), media_digest(source)
    report = replace(report, settings=settings, input_sha256=digest)
    write_record(Outputs(destination).ledger, job_key(digest, restorer.digest, settings), report.row(), [])
    return report
