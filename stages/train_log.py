"""The figures of a training run in MLflow, sent while it goes on.

The workers only append to `metrics.jsonl`; whatever becomes of the tracking server, training does not notice.
`python -m stages.train_log` sends what a server that was down has missed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stages.entry import main
from stages.layout import Layout
from stages.tracking import connect, experiment_id
from svfr.artifacts import write_json
from svfr.errors import UserError
from svfr.params import Params, RegisterParams
from svfr.training.config import TrainConfig
from svfr.training.history import Row, read_history

_STATE = "mlflow.json"
_BATCH = 900  # figures in one request; MLflow takes 1000


class MlflowLog:
    """One MLflow run for one training run, found again after an interruption.

    Any failure of MLflow becomes one warning line; the figures stay in the run's folder and are sent at the end, or
    by `python -m stages.train_log`.
    """

    def __init__(self, register: RegisterParams, params: Mapping[str, Any], folder: Path, root: Path) -> None:
        self.register, self.params, self.folder, self.root = register, params, folder, root
        self.failed = False
        self.sent = -1.0  # the last step whose figures MLflow has
        self._client: Any = None
        self._run_id = ""
        self._shown: set[Path] = set()  # previews that MLflow has

    def send(self, rows: list[Row]) -> None:
        """Sends the rows of steps that were not sent yet; after a failure nothing until `finish`."""
        if not self.failed:
            self._try(lambda: self._send(rows))

    def finish(self, status: str, artifacts: list[Path]) -> None:
        """Sends what is missing, attaches files and folders, and closes the run as `status`."""

        def close() -> None:
            self._send(read_history(self.folder))
            for path in artifacts:
                log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
                log(self._run_id, str(path), path.name if path.is_dir() else path.parent.name)
            self._client.set_terminated(self._run_id, status)

        self._try(close)
        if self.failed:
            print("train: the figures are kept; send them with `python -m stages.train_log`", file=sys.stderr)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
            self.failed = False
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:250]
            print(f"train: warning: {reason}; training does not need it and goes on", file=sys.stderr)
            self.failed = True

    def _send(self, rows: list[Row]) -> None:
        self._connect()
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        fresh = [row for row in rows if row["step"] > self.sent]
        metrics = [
            Metric(name, value, now, int(row["step"])) for row in fresh for name, value in row.items() if name != "step"
        ]
        for first in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._run_id, metrics=metrics[first : first + _BATCH])
        if fresh:
            self.sent = fresh[-1]["step"]
            self._remember()
        for preview in sorted(set(self.folder.glob("previews/*.png")) - self._shown):
            self._client.log_artifact(self._run_id, str(preview), "previews")
            self._shown.add(preview)

    def _connect(self) -> None:
        if self._run_id:
            return
        client = connect(self.register.tracking_uri, self.root)
        known = self.folder / _STATE
        saved = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
        if saved.get("uri") == self.register.tracking_uri:
            self._client, self._run_id, self.sent = client, saved["run_id"], saved["sent"]
            return
        experiment = experiment_id(client, self.register.experiment, self.register.tracking_uri, self.root)
        tags = {"svfr.run": self.folder.name, "svfr.stage": "train"}
        run = client.create_run(experiment, tags=tags, run_name=f"train-{self.folder.name[:8]}")
        for name, value in self.params.items():
            client.log_param(run.info.run_id, name, value)
        self._client, self._run_id = client, run.info.run_id
        self._remember()

    def _remember(self) -> None:
        state = {"uri": self.register.tracking_uri, "run_id": self._run_id, "sent": self.sent}
        write_json(self.folder / _STATE, state)


def upload(params: Params, root: Path) -> None:
    """Sends the figures of the current configuration's run that MLflow has not got. `UserError` if it still fails."""
    layout = Layout(root.resolve())
    folder = TrainConfig.below(layout.root, params.train).run_dir()
    log = MlflowLog(params.register_, params.train.model_dump(), folder, layout.root)
    log.finish("FINISHED", [layout.reports / "train"])
    if log.failed:
        raise UserError("MLflow is still not available: nothing is lost, try again later")


if __name__ == "__main__":
    main(upload)
