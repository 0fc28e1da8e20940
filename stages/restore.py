"""Restores many videos on Ray actors: one model per actor, one file at a time, one row per file.

    python -m stages.restore --model models/svfr --input old --output restored

Finished files are skipped, refused ones are rows, failed ones are tried again by the next run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from stages.actor import Item, Result, Worker
from stages.engine import map_items
from svfr.errors import UserError
from svfr.params import EngineParams, RestoreOptions, RestoreParams, load_params
from svfr.restore.batch import Order, failed, options_of, plan, restore_one
from svfr.restore.inputs import read_inputs
from svfr.restore.ledger import VERSION, model_digest
from svfr.restore.report import FileReport, table, write_reports


def run(source: Path, output: Path, model: Path, params: RestoreParams, engine: EngineParams) -> list[FileReport]:
    """Restores every input of `source`, a folder, list or manifest, into the folder `output`: a report for each.

    `model` is a model folder. Outputs and rows depend on inputs, model and `params` only. Writes `report.json`,
    `report.parquet` and `report.html` into `output`. Where nothing is left to do, neither Ray nor a network is loaded.
    Raises `UserError` for a folder without inputs, a bad model, or missing weights; a bad file is a row.
    """
    inputs = read_inputs(source)
    if source.resolve() == output.resolve():
        raise UserError(f"{source}: input and output are the same folder; choose another --output")
    digest = model_digest(model)
    work = plan(inputs, output, digest, params)
    reports = work.done + (_restore(work.todo, model, digest, params, engine) if work.todo else [])
    lost = {item.name for item in inputs} ^ {report.input for report in reports}
    if lost or len(reports) != len(inputs):
        raise AssertionError(f"restore: {len(inputs)} inputs, {len(reports)} rows, differing in {sorted(lost)[:5]}")
    write_reports(output, reports)
    return reports


def _restore(
    todo: list[Order], model: Path, digest: str, params: RestoreParams, engine: EngineParams
) -> list[FileReport]:
    items = [
        Item(
            order.name,
            order.name,
            {
                "name": order.name,
                "source": str(order.source.resolve()),
                "destination": str(order.destination.resolve()),
                "options": order.options.model_dump(),
            },
        )
        for order in todo
    ]
    options = RestoreOptions.model_validate(options_of(params))
    # the ledger beside the outputs says what is done; the engine's item cache only carries rows back from the actors
    with tempfile.TemporaryDirectory() as folder:
        once = engine.model_copy(update={"cache": folder, "item_timeout": params.item_timeout})
        build = partial(_build, model.resolve(), options)
        outcome = map_items("restore", build, items, version=VERSION, params={}, engine=once)
        reports = [FileReport.from_row(row) for _, result in outcome for row in result.rows]
    return reports + [failed(row["item_id"], digest, row["reason"], row["message"]) for row in outcome.failed]


def _build(model: Path, options: RestoreOptions) -> Worker:
    """In the actor: loads the model once."""
    from svfr.restore.model import load_restorer

    restorer = load_restorer(model)
    if options.region == "faces":
        restorer.detector(options)

    def work(payload: dict[str, Any]) -> Result:
        own = RestoreOptions.model_validate(payload["options"])
        order = Order(payload["name"], Path(payload["source"]), Path(payload["destination"]), own)
        return Result(rows=[restore_one(order, restorer).row()])

    return work


def main(arguments: list[str] | None = None) -> None:
    """The command line. A `UserError` ends it with one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m stages.restore", description="restores a folder of videos")
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        help="folder, list (.txt) or manifest (.csv, .parquet)",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the results, made if absent")
    parser.add_argument("--model", default="", help="model folder or models:/NAME@ALIAS; default: params.yaml")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(arguments)
    try:
        params = load_params(args.params)
        model = args.model or params.restore.model
        folder = _local(model, params.register_.tracking_uri) if model.startswith("models:") else Path(model)
        print(table(run(args.input, args.output, folder, params.restore, params.engine)))
        print(f"report: {args.output / 'report.html'}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _local(uri: str, registry: str) -> Path:
    from stages.model_store import resolve_model

    return resolve_model(uri, registry, Path("models") / "registry")


if __name__ == "__main__":
    main()
