"""Records of runs in MLflow that a dead server cannot lose.

A record is first written to a spool folder, then sent. What could not be sent stays there and goes with the next
record that gets through. Sending is idempotent: a record's key is a tag of its run, so nothing is logged twice.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from svfr.artifacts import atomic_dir, write_json
from svfr.errors import UserError
from svfr.params import EngineParams, RegisterParams

KEY_TAG = "svfr.record"
_PROBE_SECONDS = 3.0
_BATCH = 100  # parameters in one request: MLflow's own limit; metrics may be 1000


class TrackingDown(UserError):
    """The MLflow server cannot be reached or refuses work. One line; nothing is lost."""


@dataclass(frozen=True)
class Record:
    """One finished piece of work: `key` names it for good, the same key is the same MLflow run.

    `files` maps a folder inside the run's artifacts ("" is the top) to files or folders that are copied there.
    """

    key: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)


def spool_path(engine: EngineParams, root: Path) -> Path:
    """Where records wait, beside the item cache."""
    return root / Path(engine.cache).parent / "tracking"


def tracking_uri(uri: str, root: Path) -> str:
    """`uri` with a relative SQLite path taken from `root` instead of the current folder."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith("sqlite:////"):
        return f"{prefix}{(root / uri.removeprefix(prefix)).resolve()}"
    return uri


def connect(uri: str, root: Path) -> Any:
    """An `MlflowClient` of a store that answers. Raises `TrackingDown` within seconds if it does not."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = tracking_uri(uri, root)
    address = urlsplit(uri)
    if address.scheme in ("http", "https"):
        port = address.port or (443 if address.scheme == "https" else 80)
        try:
            socket.create_connection((address.hostname or "", port), _PROBE_SECONDS).close()
        except OSError as error:
            raise _down(uri, error) from error
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise _down(uri, error) from error
    return client


def experiment_id(client: Any, name: str, uri: str, root: Path) -> str:
    """The experiment called `name`, made if it is new; a local store keeps its artifacts in `root/mlruns`."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    local = uri.startswith("sqlite:")
    return str(client.create_experiment(name, (root / "mlruns").resolve().as_uri() if local else None))


def log_record(register: RegisterParams, spool: Path, root: Path, record: Record) -> str | None:
    """Stores the record, then sends everything that waits. Returns its run id, or None if the server is down.

    A server that is down is one line on standard error, not an error: the record waits in `spool`.
    """
    store(spool, record)
    try:
        return send_all(register, spool, root)[record.key]
    except TrackingDown as error:
        print(f"{record.name}: {error}; the record waits in {spool} for the next run that reaches it", file=sys.stderr)
        return None


def store(spool: Path, record: Record) -> None:
    """Writes a record and copies of its files into the spool, whole or not at all."""
    with atomic_dir(spool / record.key) as folder:
        for place, paths in record.files.items():
            target = folder / "files" / place
            target.mkdir(parents=True, exist_ok=True)
            for path in paths:
                copy = shutil.copytree if path.is_dir() else shutil.copyfile
                copy(path, target / path.name)
        told = {name: value for name, value in asdict(record).items() if name != "files"}
        write_json(folder / "record.json", told | {"time_ms": int(time.time() * 1000)})


def send_all(register: RegisterParams, spool: Path, root: Path) -> dict[str, str]:
    """Sends every waiting record, oldest first, and removes what was sent: key -> run id. Raises `TrackingDown`."""
    client = connect(register.tracking_uri, root)
    uri = tracking_uri(register.tracking_uri, root)
    waiting = [(json.loads(path.read_text(encoding="utf-8")), path.parent) for path in spool.glob("*/record.json")]
    sent = {}
    try:
        experiment = experiment_id(client, register.experiment, uri, root)
        for record, folder in sorted(waiting, key=lambda entry: entry[0]["time_ms"]):
            sent[record["key"]] = _send(client, experiment, record, folder)
            shutil.rmtree(folder)
    except Exception as error:
        raise _down(uri, error) from error
    return sent


def _send(client: Any, experiment: str, record: dict[str, Any], folder: Path) -> str:
    from mlflow.entities import Metric, Param

    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{record['key']}'", max_results=1)
    if found and found[0].info.status == "FINISHED":
        return str(found[0].info.run_id)
    tags = {**record["tags"], KEY_TAG: record["key"]}
    run = found[0] if found else client.create_run(experiment, record["time_ms"], tags, record["name"])
    run_id = str(run.info.run_id)
    params = [Param(name, str(value)) for name, value in sorted(record["params"].items())]
    for first in range(0, len(params), _BATCH):
        client.log_batch(run_id, params=params[first : first + _BATCH])
    metrics = [Metric(name, value, record["time_ms"], 0) for name, value in sorted(record["metrics"].items())]
    for first in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[first : first + _BATCH])
    if (folder / "files").is_dir():
        client.log_artifacts(run_id, str(folder / "files"))
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _down(uri: str, error: Exception) -> TrackingDown:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return TrackingDown(
        f"MLflow at {_without_password(uri)} does not answer ({reason}): start it or set register.tracking_uri"
    )


def _without_password(uri: str) -> str:
    address = urlsplit(uri)
    return uri.replace(f"{address.username or ''}:{address.password}@", "") if address.password else uri
