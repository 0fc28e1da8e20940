"""Stage 8: puts the trained model into the MLflow registry, by content, with aliases.

`challenger` is always the newest; `champion` changes hands only for a better held-out figure. Both figures are of the
same pairs: a champion that was measured on others is measured again. What is registered is a folder of safetensors
and JSON; nothing is pickled.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.entry import main
from stages.layout import Layout
from stages.model_store import ALIASES, DIGEST_TAG, SOURCE_TAG, keep, resolve_model, resolve_version
from stages.tracking import Record, connect, send_all, spool_path, store, tracking_uri
from svfr.artifacts import digest_of, sha256_file, write_json
from svfr.errors import UserError
from svfr.models.folder import CONFIG_FILE, verify_model_folder
from svfr.params import Params, RegisterParams
from svfr.restore.ledger import model_digest

__all__ = ["figure", "resolve_model", "run"]

STAGE = "register"
HELD_OUT_TAG, METRIC_TAG, VALUE_TAG = "svfr.held_out", "svfr.metric", "svfr.value"


@dataclass(frozen=True)
class Candidate:
    """The model to register and the figure that it is judged by."""

    folder: Path
    digest: str
    held_out: str
    value: float
    higher_is_better: bool
    tags: dict[str, str]


def run(params: Params, root: Path) -> None:
    """Registers `models/svfr` and writes `reports/register.json`; see `register_model`."""
    layout = Layout(root.resolve())
    register_model(params, layout, layout.model, layout.reports / "eval", layout.reports / "register.json")


def register_model(params: Params, layout: Layout, model: Path, evaluation: Path, report: Path) -> None:
    """Registers the folder `model` by the figures in the folder `evaluation`, and writes `report`.

    Running it again for the same model changes nothing. Raises `UserError` for a model without an evaluation of its
    own, `TrackingDown` if MLflow does not answer: run again, nothing is lost.
    """
    options = params.register_
    candidate = _candidate(layout, options, model, evaluation)
    client = connect(options.tracking_uri, layout.root)
    version = _version(client, params, layout, candidate)
    client.set_registered_model_alias(options.name, ALIASES[1], version.version)
    champion, why = _champion(client, params, layout, candidate, version)
    write_json(
        report,
        {
            "name": options.name,
            "version": int(version.version),
            "run_id": version.run_id,
            "model_sha256": candidate.digest,
            "source": version.tags[SOURCE_TAG],
            "tracking_uri": options.tracking_uri,
            "metric": options.metric,
            "value": candidate.value,
            "champion": int(champion),
            "is_champion": int(champion) == int(version.version),
            "why": why,
        },
    )
    print(f"register: {options.name} version {version.version} is challenger; champion is version {champion}: {why}")


def _candidate(layout: Layout, options: RegisterParams, model: Path, evaluation: Path) -> Candidate:
    """Checks the folder's digests and that the evaluation is of this very model."""
    config = verify_model_folder(model)
    digest = model_digest(model)
    summary, protocol = _json(evaluation / "metrics.json"), _json(evaluation / "protocol.json")
    if protocol["model_sha256"] != digest:
        raise UserError(f"register: {evaluation} measured another model than {model}: run evaluate again")
    value = figure(summary, options.metric)
    dvc_lock = layout.root / "dvc.lock"
    tags = {
        DIGEST_TAG: digest,
        HELD_OUT_TAG: protocol["held_out"],
        METRIC_TAG: options.metric,
        VALUE_TAG: repr(value),
        "svfr.git_commit": _git_commit(layout.root),
        "svfr.dvc_lock": sha256_file(dvc_lock) if dvc_lock.exists() else "none",
        **{f"sha256.{name}": value for name, value in sorted(config["digests"].items())},
    }
    higher = protocol["metrics"][options.metric.rpartition("/")[2]]["higher_is_better"]
    return Candidate(model, digest, protocol["held_out"], value, higher, tags)


def figure(summary: dict[str, Any], metric: str) -> float:
    """The model's mean of `task/metric`. Raises `UserError` naming those that were measured."""
    task, _, name = metric.partition("/")
    try:
        return float(summary[task][name]["model"])
    except KeyError:
        known = ", ".join(f"{t}/{m}" for t, metrics in summary.items() for m in metrics)
        raise UserError(f"register.metric is '{metric}', which was not measured: choose among {known}") from None


def _version(client: Any, params: Params, layout: Layout, candidate: Candidate) -> Any:
    """The registry's version of this model's content, made if there is none."""
    options = params.register_
    if not client.search_registered_models(f"name = '{options.name}'", max_results=1):
        client.create_registered_model(options.name, description=f"Video face restoration ({options.name})")
    found = client.search_model_versions(f"name = '{options.name}' and tags.`{DIGEST_TAG}` = '{candidate.digest}'")
    if found:
        newest = max(found, key=lambda version: int(version.version))
        for name in (HELD_OUT_TAG, METRIC_TAG, VALUE_TAG):
            client.set_model_version_tag(options.name, newest.version, name, candidate.tags[name])
        return client.get_model_version(options.name, newest.version)
    size = sum(path.stat().st_size for path in candidate.folder.iterdir() if path.is_file())
    uploaded = size <= options.upload_max_bytes
    record = Record(
        digest_of({"stage": STAGE, "model": candidate.digest})[:32],
        f"register-{candidate.digest[:8]}",
        metrics={options.metric.replace("+", "-"): candidate.value},
        tags={"svfr.stage": STAGE, **candidate.tags},
        files={"": [candidate.folder]} if uploaded else {candidate.folder.name: [candidate.folder / CONFIG_FILE]},
    )
    spool = spool_path(params.engine, layout.root)
    store(spool, record)
    run_id = send_all(options, spool, layout.root)[record.key]
    source = f"runs:/{run_id}/{candidate.folder.name}"
    kept = source if uploaded else keep(candidate.folder, candidate.digest, layout.root / options.store).as_uri()
    tags = candidate.tags | {SOURCE_TAG: kept, "svfr.bytes": str(size)}
    version = client.create_model_version(options.name, source, run_id=run_id, tags=tags)
    return client.get_model_version(options.name, version.version)


def _champion(client: Any, params: Params, layout: Layout, candidate: Candidate, version: Any) -> tuple[str, str]:
    """Moves the alias if the newcomer is better or nobody holds it; returns the champion's version and the reason."""
    options, alias = params.register_, ALIASES[0]
    holder = client.get_registered_model(options.name).aliases.get(alias)
    if holder is None:
        why = "there was no champion"
    elif str(holder) == str(version.version):
        return str(holder), "it is this model"
    else:
        old = client.get_model_version(options.name, holder)
        try:
            value = _measured(old, params, layout, candidate)
        except UserError as error:
            why = f"version {holder} can no longer be loaded ({error})"
        else:
            better = candidate.value > value if candidate.higher_is_better else candidate.value < value
            why = f"{options.metric} {candidate.value:.4f} against {value:.4f} of version {holder}"
            if not better:
                return str(holder), f"{why}, so it stays"
    client.set_registered_model_alias(options.name, alias, version.version)
    return str(version.version), why


def _measured(old: Any, params: Params, layout: Layout, candidate: Candidate) -> float:
    """The champion's figure on the newcomer's pairs: as recorded, or measured now if it was recorded on others."""
    recorded = (old.tags.get(HELD_OUT_TAG), old.tags.get(METRIC_TAG))
    if recorded == (candidate.held_out, params.register_.metric):
        return float(old.tags[VALUE_TAG])
    from stages.evaluate import evaluate_model

    uri = tracking_uri(params.register_.tracking_uri, layout.root)
    folder = resolve_version(old, uri, layout.root / params.register_.store)
    return figure(evaluate_model(params, layout, folder).summary, params.register_.metric)


def _json(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"register needs {path}: run the evaluate stage first (dvc repro evaluate)")
    return json.loads(path.read_text(encoding="utf-8"))


def _git_commit(root: Path) -> str:
    """The checked-out commit, or "none" outside a repository."""
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "none"
    return found.stdout.strip() if found.returncode == 0 else "none"


if __name__ == "__main__":
    main(run)
