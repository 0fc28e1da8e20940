"""Many files: what is to be done, what is done already, and one file at a time without ever ending the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svfr.artifacts import inside
from svfr.errors import ItemError, UserError, WeightsMissing
from svfr.params import RestoreOptions
from svfr.restore.inputs import Input
from svfr.restore.ledger import finished, job_key, media_digest, settings_of, write_record
from svfr.restore.names import Outputs, output_name
from svfr.restore.report import FileReport

if TYPE_CHECKING:
    from svfr.restore.engine import Progress
    from svfr.restore.model import Restorer


@dataclass(frozen=True)
class Order:
    """One input, where it goes, and how it is to be restored. `name` stands for it in reports."""

    name: str
    source: Path
    destination: Path
    options: RestoreOptions


@dataclass(frozen=True)
class Plan:
    """What a run has to do: the orders that are left, and the reports of those that are finished or cannot begin."""

    todo: list[Order]
    done: list[FileReport]


def plan(inputs: Sequence[Input], output: Path, model_sha256: str, options: RestoreOptions) -> Plan:
    """Compares the ledger below the folder `output` with inputs, model and settings.

    An input counts as finished if it was restored, passed through or refused under the same key and its outputs still
    have the bytes that were written. A row of a manifest with bad options is a failed report. Loads no network.
    """
    todo, done = [], []
    for item in inputs:
        try:
            order = _order(item, output, options)
            key = job_key(media_digest(item.path), model_sha256, settings_of(order.options))
        except (UserError, OSError) as error:
            reason = error.code if isinstance(error, ItemError) else "setup"
            done.append(failed(item.name, model_sha256, reason, str(error)))
            continue
        row = finished(Outputs(order.destination).ledger, key)
        if row is None:
            todo.append(order)
        else:
            done.append(replace(FileReport.from_row(row), input=item.name, skipped=True))
    return Plan(todo, done)


def _order(item: Input, output: Path, options: RestoreOptions) -> Order:
    from pydantic import ValidationError

    try:
        own = RestoreOptions.model_validate({**options_of(options), **item.changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))} {first['input']!r}: {first['msg']}") from None
    name = output_name(item.path.with_name(item.name), own.codec)
    return Order(item.name, item.path, inside(output, item.output) if item.output else output / name, own)


def options_of(options: RestoreOptions) -> dict[str, Any]:
    """The fields of `RestoreOptions` alone, also of a subclass with more."""
    return {name: getattr(options, name) for name in RestoreOptions.model_fields}


def restore_one(order: Order, restorer: Restorer, progress: Progress | None = None) -> FileReport:
    """`restore_video` as a row: whatever goes wrong with this file is its status, reason and message.

    A refusal is recorded, so that the next run does not try again; a failure is not. Raises `WeightsMissing`, which no
    other file would survive either.
    """
    from svfr.restore.engine import restore_video

    try:
        return restore_video(
            order.source,
            order.destination,
            model=restorer,
            options=order.options,
            progress=progress,
            name=order.name,
        )
    except WeightsMissing:
        raise
    except ItemError as error:
        return _refused(order, restorer, error)
    except UserError as error:
        return failed(order.name, restorer.digest, "setup", str(error))
    except MemoryError as error:
        return failed(order.name, restorer.digest, "out_of_memory", str(error) or "no memory left")
    except Exception as error:
        return failed(order.name, restorer.digest, "error", f"{type(error).__name__}: {error}")


def failed(name: str, model_sha256: str, reason: str, message: str) -> FileReport:
    """The report of a file that could not be finished and is tried again by the next run."""
    return FileReport(input=name, status="failed", reason=reason, message=message, model_sha256=model_sha256)


def _refused(order: Order, restorer: Restorer, error: ItemError) -> FileReport:
    report = replace(failed(order.name, restorer.digest, error.code, str(error)), status="refused")
    if not order.source.exists():
        return report
    settings, digest = settings_of(order.options), media_digest(order.source)
    report = replace(report, settings=settings, input_sha256=digest)
    key = job_key(digest, restorer.digest, settings)
    write_record(Outputs(order.destination).ledger, key, report.row(), [])
    return report
