"""Stage 7: restores held-out pairs and measures them beside the degraded input and the baselines.

Every figure is a mean over pairs of one task; the same pairs, frames and networks for every restorer.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.actor import Item, clip_fingerprint
from stages.engine import Outcome, map_items
from stages.entry import main, require_rows
from stages.eval_figures import contact_sheet, psnr_chart, psnr_csv
from stages.eval_summary import (
    DEGRADED,
    MODEL,
    TRUTH,
    Summary,
    cost_table,
    costs,
    flat,
    summarise,
    table,
    task_name,
    verdict,
)
from stages.evaluation import STAGE, Evaluator, backends_of
from stages.layout import Layout
from stages.tracking import Record, log_record, spool_path
from svfr.artifacts import digest_of, write_json, write_text
from svfr.errors import UserError
from svfr.metrics.base import Metric
from svfr.metrics.distribution import frechet_distance
from svfr.metrics.registry import build_available
from svfr.params import EvaluateParams, Params
from svfr.restore.ledger import model_digest
from svfr.restore.model import tasks_of
from svfr.tables import Row, check_accounted

VERSION = "2"
_NOT_OF_A_PAIR = {"model", "split", "max_pairs", "sheet_rows", "also"}  # options that change no pair's figures


@dataclass(frozen=True)
class Evaluation:
    """What was measured: `results` rows, rejects, the means, and where the pictures lie."""

    digest: str
    pairs: list[Row]
    rows: list[Row]
    rejects: list[Row]
    summary: Summary
    protocol: dict[str, Any]
    outcome: Outcome


def run(params: Params, root: Path) -> None:
    """Writes `data/results/` and `reports/eval/`: figures, protocol, costs, pictures.

    Raises `UserError` if nothing is held out or no pair worked.
    """
    layout = Layout(root.resolve())
    done = evaluate_model(params, layout, layout.root / params.evaluate.model)
    others = {Path(name).name: evaluate_model(params, layout, layout.root / name) for name in params.evaluate.also}
    for name, other in others.items():
        add_beside(done, name, other)
    layout.write("results", done.rows, done.rejects)
    require_rows(STAGE, done.rows, done.rejects, layout.rejects("results"))
    folder = layout.reports / "eval"
    write_json(folder / "metrics.json", done.summary)
    write_json(folder / "protocol.json", done.protocol)
    called = {done.digest: MODEL} | {other.digest: name for name, other in others.items()}
    named = [{**row, "model": called.get(row["model"], row["model"])} for row in done.rows]
    taken = costs(named)
    write_json(folder / "cost.json", taken)
    write_text(folder / "psnr.csv", psnr_csv(named, MODEL))
    psnr_chart(done.summary, folder / "psnr.png")
    for name, other in others.items():
        write_json(folder / name / "metrics.json", other.summary)
        write_json(folder / name / "protocol.json", other.protocol)
    outcomes = {name: other.outcome for name, other in others.items()}
    contact_sheet(done.outcome, done.pairs, params.evaluate, folder / "contact_sheet.png", outcomes)
    print(table(done.summary, [*params.evaluate.baselines, *others]))
    print(cost_table(taken))
    for name, reason in done.protocol["not_available"].items():
        print(f"evaluate: {name} is not available: {reason}")
    print(f"evaluate: {verdict(done.summary)}")
    record = _record(params, done, taken, folder)
    log_record(params.register_, spool_path(params.engine, layout.root), layout.root, record)


def evaluate_model(params: Params, layout: Layout, model: Path) -> Evaluation:
    """Restores and measures the held-out pairs with the model folder `model`; cached pairs cost nothing."""
    options, digest = params.evaluate, model_digest(model)
    clips = {row["clip_id"]: row for row in layout.read("clips")}
    able = tasks_of(model)
    pairs = [pair for pair in held_out(layout.read("pairs"), options) if able.issuperset(task_name(pair).split("+"))]
    if not pairs:
        raise UserError(f"evaluate: {model} does {', '.join(sorted(able)) or 'nothing'}, of which no pair is held out")
    metrics, missing = build_available(options.metrics, backends_of(options))
    missing = {name: reason.replace(f"{Path().resolve()}/", "") for name, reason in missing.items()}
    items = [_item(pair, clips[pair["clip_id"]], digest) for pair in pairs]
    outcome = map_items(
        STAGE,
        Evaluator(model.resolve(), layout.shards("clips").resolve(), options, params.engine.threads),
        items,
        version=VERSION,
        params={**options.model_dump(exclude=_NOT_OF_A_PAIR), "networks": _networks(metrics)},
        engine=params.engine,
    )
    rows: list[Row] = []
    rejects = list(outcome.failed)
    features: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    tasks = {pair["pair_id"]: task_name(pair) for pair in pairs}
    for pair_id, result in outcome:
        rows += [{**row, "model": digest if row["model"] == MODEL else row["model"]} for row in result.rows]
        rejects += result.rejects
        for name in (n for n in result.files if n.endswith(".npy")):
            features[tasks[pair_id]][name.removesuffix(".npy")].append(np.load(io.BytesIO(result.files[name])))
    check_accounted(STAGE, [i.id for i in items], outcome.keys, [r["item_id"] for r in outcome.failed])
    summary = summarise(rows, digest, {metric.name: metric.higher_is_better for metric in metrics})
    _add_fvd(summary, features, options, missing)
    return Evaluation(
        digest, pairs, rows, rejects, summary, _protocol(params, pairs, metrics, missing, digest), outcome
    )


def _item(pair: Row, clip: Row, digest: str) -> Item:
    fingerprint = {"pair": pair, "clip": clip_fingerprint(clip, "points68"), "model": digest}
    return Item(pair["pair_id"], fingerprint, {"pair": pair, "clip": clip})


def add_beside(done: Evaluation, name: str, other: Evaluation) -> None:
    """Puts another model's rows and means, under `name`, beside those of `done`, where both measured the same pairs."""
    own = {row["pair_id"] for row in other.rows}
    done.rows.extend(row for row in other.rows if row["model"] == other.digest)
    done.rejects.extend(other.rejects)
    for task, metrics in other.summary.items():
        if {p["pair_id"] for p in done.pairs if task_name(p) == task} <= own:
            for metric, values in metrics.items():
                if metric in done.summary.get(task, {}):
                    done.summary[task][metric][name] = values[MODEL]


def held_out(pairs: Sequence[Row], options: EvaluateParams) -> list[Row]:
    """The pairs to measure: all of the split, or `max_pairs` of them, spread evenly over the tasks by id.

    Raises `UserError` if the split is empty.
    """
    by_task: dict[str, list[Row]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda row: row["pair_id"]):
        if pair["split"] == options.split:
            by_task[task_name(pair)].append(pair)
    if not by_task:
        raise UserError(f"evaluate: no pair is in split '{options.split}': add sources, or raise degrade.test_share")
    chosen: list[Row] = []
    queues = [by_task[name] for name in sorted(by_task)]
    while any(queues) and len(chosen) < options.max_pairs:
        for queue in queues:
            if queue and len(chosen) < options.max_pairs:
                chosen.append(queue.pop(0))
    return chosen


def _add_fvd(
    summary: Summary,
    features: dict[str, dict[str, list[np.ndarray]]],
    options: EvaluateParams,
    missing: dict[str, str],
) -> None:
    """FVD of a task's clips, for tasks with at least two."""
    if "fvd" not in options.metrics or "fvd" in missing:
        return
    for task, found in features.items():
        count = len(found[TRUTH])
        if count < 2:
            missing[f"fvd ({task})"] = f"it compares sets of clips, and only {count} is held out"
            continue
        truth = np.stack(found[TRUTH])
        values = {name: frechet_distance(np.stack(found[name]), truth) for name in found if name != TRUTH}
        summary[task]["fvd"] = values | {"gain": values[DEGRADED] - values[MODEL], "pairs": count}


def _networks(metrics: Sequence[Metric]) -> list[list[str]]:
    return [[metric.name, metric.backend, metric.network_sha256] for metric in metrics]


def _protocol(
    params: Params, pairs: list[Row], metrics: list[Metric], missing: dict[str, str], digest: str
) -> dict[str, Any]:
    """How the figures were made, so that nobody compares what cannot be compared."""
    options = params.evaluate.model_dump(exclude={"model", "metrics", "baselines", "sheet_rows", "also"})
    networks: dict[str, dict[str, Any]] = {
        metric.name: {
            "backend": metric.backend,
            "network_sha256": metric.network_sha256,
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
        }
        for metric in metrics
    }
    measured = {"pairs": sorted(pair["pair_id"] for pair in pairs), "options": options, "metrics": _networks(metrics)}
    return {
        "model_sha256": digest,
        "held_out": digest_of(measured),
        "pairs": len(pairs),
        "clips": len({pair["clip_id"] for pair in pairs}),
        "people": len({pair["identity_id"] for pair in pairs}),
        "options": options,
        "metrics": networks,
        "not_available": missing,
        "definition": "mean over frames, then over pairs; 8-bit RGB; whole face crop; no border cropped",
    }


def _record(params: Params, done: Evaluation, taken: Summary, folder: Path) -> Record:
    key = digest_of({"stage": STAGE, "model": done.digest, "held_out": done.protocol["held_out"]})[:32]
    return Record(
        key,
        f"evaluate-{done.digest[:8]}",
        params={f"evaluate.{name}": value for name, value in params.evaluate.model_dump().items()},
        metrics=flat(done.summary) | flat(taken),
        tags={"svfr.stage": STAGE, "svfr.model": done.digest, "svfr.held_out": done.protocol["held_out"]},
        files={"eval": sorted(path for path in folder.iterdir() if path.is_file())},
    )


if __name__ == "__main__":
    main(run)
