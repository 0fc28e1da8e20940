"""Records wait for a server that is down, and are sent once, whatever happens in between."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from stages.tracking import Record, TrackingDown, connect, log_record, send_all, store
from svfr.params import RegisterParams


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture
def down() -> RegisterParams:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return RegisterParams(tracking_uri=f"http://someone:secret@127.0.0.1:{server.getsockname()[1]}")


def _record(key: str, folder: Path) -> Record:
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "sheet.png"
    picture.write_bytes(b"a picture")
    params = {f"p{i}": i for i in range(150)}  # more than MLflow takes in one request
    return Record(key, f"run-{key}", params, {"bfr/psnr": 28.5}, {"svfr.stage": "evaluate"}, {"eval": [picture]})


def test_a_dead_server_costs_seconds_and_one_line(
    root: Path, tmp_path: Path, down: RegisterParams, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    spool = tmp_path / "spool"
    assert log_record(down, spool, root, _record("waits", tmp_path)) is None
    assert time.monotonic() - began < 20
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "waits in" in line
    assert "secret" not in line
    assert (spool / "waits" / "files" / "eval" / "sheet.png").read_bytes() == b"a picture"
    with pytest.raises(TrackingDown):
        connect(down.tracking_uri, root)


def test_what_waited_goes_with_the_next_record(root: Path, tmp_path: Path, down: RegisterParams) -> None:
    spool, up = tmp_path / "spool", RegisterParams()
    assert log_record(down, spool, root, _record("first", tmp_path)) is None
    second = log_record(up, spool, root, _record("second", tmp_path))
    assert second is not None
    client = connect(up.tracking_uri, root)
    runs = client.search_runs([client.get_experiment_by_name("svfr").experiment_id], "tags.`svfr.record` = 'first'")
    assert len(runs) == 1
    assert runs[0].info.status == "FINISHED"
    assert runs[0].data.metrics == {"bfr/psnr": 28.5}
    assert runs[0].data.params["p149"] == "149"
    assert [file.path for file in client.list_artifacts(runs[0].info.run_id, "eval")] == ["eval/sheet.png"]
    assert not list(spool.iterdir())


def test_the_same_record_is_one_run_even_after_a_kill_in_between(root: Path, tmp_path: Path) -> None:
    spool, up = tmp_path / "spool", RegisterParams()
    record = _record("once", tmp_path)
    run_id = log_record(up, spool, root, record)
    client = connect(up.tracking_uri, root)
    client.update_run(run_id, "RUNNING")  # as a sender leaves it that was killed before the end
    store(spool, record)
    assert send_all(up, spool, root) == {"once": run_id}
    assert client.get_run(run_id).info.status == "FINISHED"
    found = client.search_runs([client.get_experiment_by_name("svfr").experiment_id], "tags.`svfr.record` = 'once'")
    assert len(found) == 1
