"""The register stage and the model store against a real SQLite registry: aliases, idempotence, both ways of storing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from eval_project import eval_params, write_model

from stages import register
from stages.layout import Layout
from stages.model_store import resolve_model
from stages.tracking import TrackingDown, connect
from svfr.artifacts import write_json
from svfr.errors import UserError
from svfr.models.folder import load_model_folder
from svfr.params import Params
from svfr.restore.ledger import model_digest

URI = "sqlite:///mlflow.db"


@pytest.fixture
def layout(tmp_path: Path, database: Path) -> Layout:
    (tmp_path / "mlflow.db").write_bytes(database.read_bytes())
    return Layout(tmp_path)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: making its tables takes longer than any test here."""
    root = tmp_path_factory.mktemp("database")
    connect(URI, root)
    return root / "mlflow.db"


def _trained(layout: Layout, note: int, value: float, held_out: str = "h") -> str:
    """A model and its evaluation, as the stages before would leave them."""
    write_model(layout.model, note)
    digest = model_digest(layout.model)
    folder = layout.reports / "eval"
    write_json(folder / "metrics.json", {"bfr": {"psnr": {"model": value}, "lmd": {"model": 40 - value}}})
    metrics = {"psnr": {"higher_is_better": True}, "lmd": {"higher_is_better": False}}
    write_json(folder / "protocol.json", {"model_sha256": digest, "held_out": held_out, "metrics": metrics})
    return digest


def _params(layout: Layout, **changes: Any) -> Params:
    params = eval_params(layout.root)
    return params.model_copy(update={"register_": params.register_.model_copy(update=changes)})


def _run(layout: Layout, **changes: Any) -> dict[str, Any]:
    register.run(_params(layout, **changes), layout.root)
    told: dict[str, Any] = json.loads((layout.reports / "register.json").read_text())
    return told


def _aliases(layout: Layout) -> dict[str, str]:
    return {k: str(v) for k, v in connect(URI, layout.root).get_registered_model("svfr").aliases.items()}


def test_champion_moves_only_for_a_better_figure(layout: Layout) -> None:
    _trained(layout, 1, 28.0)
    assert _run(layout)["is_champion"]
    _trained(layout, 2, 27.5)
    second = _run(layout)
    assert (second["version"], second["is_champion"], second["champion"]) == (2, False, 1)
    assert "27.5000 against 28.0000 of version 1, so it stays" in second["why"]
    assert _aliases(layout) == {"champion": "1", "challenger": "2"}
    _trained(layout, 3, 28.4)
    assert _run(layout)["is_champion"]
    assert _aliases(layout) == {"champion": "3", "challenger": "3"}


def test_lower_is_better_where_the_metric_says_so(layout: Layout) -> None:
    _trained(layout, 1, 28.0)  # lmd 12
    _run(layout, metric="bfr/lmd")
    _trained(layout, 2, 27.0)  # lmd 13
    assert not _run(layout, metric="bfr/lmd")["is_champion"]


def test_again_for_the_same_model_changes_nothing(layout: Layout) -> None:
    _trained(layout, 1, 28.0)
    first = _run(layout)
    assert _run(layout) == first | {"why": "it is this model"}
    client = connect(URI, layout.root)
    assert len(client.search_model_versions("name = 'svfr'")) == 1
    assert len(client.search_runs([client.get_experiment_by_name("svfr").experiment_id])) == 1


def test_tags_say_what_it_is(layout: Layout) -> None:
    digest = _trained(layout, 1, 28.0)
    (layout.root / "dvc.lock").write_text("schema: '2.0'\n")
    _run(layout)
    tags = connect(URI, layout.root).get_model_version("svfr", "1").tags
    config = json.loads((layout.model / "model.json").read_text())
    assert tags["svfr.model"] == digest
    assert tags["sha256.unet.safetensors"] == config["digests"]["unet.safetensors"]
    assert len(tags["svfr.dvc_lock"]) == 64
    assert float(tags["svfr.value"]) == 28.0


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["as artifacts", "by reference"])
def test_a_registered_model_comes_back_whole(layout: Layout, tmp_path: Path, limit: int) -> None:
    digest = _trained(layout, 1, 28.0)
    told = _run(layout, upload_max_bytes=limit)
    assert told["source"].startswith("runs:/" if limit else "file:///")
    _trained(layout, 2, 20.0)  # the folder it came from is replaced by another model
    _run(layout, upload_max_bytes=limit)
    folder = resolve_model("models:/svfr@champion", URI, tmp_path / "got", layout.root)
    assert model_digest(folder) == digest
    assert load_model_folder(folder).config["trained"] == {"note": 1}
    assert not list(folder.glob("*.pkl"))
    assert resolve_model("models:/svfr/1", URI, tmp_path / "got", layout.root) == folder
    assert resolve_model("models:/svfr/2", URI, tmp_path / "got", layout.root) != folder


def test_resolved_once_needs_no_second_copy(layout: Layout, tmp_path: Path) -> None:
    _trained(layout, 1, 28.0)
    told = _run(layout, upload_max_bytes=0)
    folder = resolve_model("models:/svfr@champion", URI, tmp_path / "got", layout.root)
    for path in Path(told["source"].removeprefix("file://")).iterdir():
        path.unlink()
    assert resolve_model("models:/svfr@champion", URI, tmp_path / "got", layout.root) == folder


def test_changed_weights_are_refused(layout: Layout, tmp_path: Path) -> None:
    _trained(layout, 1, 28.0)
    told = _run(layout)
    stored = layout.root / "mlruns" / told["run_id"] / "artifacts" / "svfr" / "unet.safetensors"
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    with pytest.raises(UserError, match="changed or damaged"):
        resolve_model("models:/svfr@champion", URI, tmp_path / "got", layout.root)
    assert not list((tmp_path / "got").glob("*"))


def test_bad_addresses_are_one_clear_line(layout: Layout, tmp_path: Path) -> None:
    _trained(layout, 1, 28.0)
    _run(layout)
    for uri, message in {
        "models:/svfr@winner": "no models:/svfr@winner",
        "models:/other/1": "no models:/other/1",
        "models:svfr": "no registry address",
        str(tmp_path / "nothing"): "no model folder",
    }.items():
        with pytest.raises(UserError, match=message):
            resolve_model(uri, URI, tmp_path / "got", layout.root)
    assert resolve_model(str(layout.model), URI, tmp_path / "got") == layout.model


def test_an_evaluation_of_another_model_is_refused(layout: Layout) -> None:
    _trained(layout, 1, 28.0)
    write_model(layout.model, 2)
    with pytest.raises(UserError, match="run evaluate again"):
        _run(layout)
    _trained(layout, 2, 28.0)
    with pytest.raises(UserError, match="choose among bfr/lmd, bfr/psnr"):
        _run(layout, metric="bfr/ssim")


def test_a_dead_server_is_one_line_and_nothing_is_lost(layout: Layout, closed_port: int) -> None:
    _trained(layout, 1, 28.0)
    with pytest.raises(TrackingDown, match="does not answer") as caught:
        _run(layout, tracking_uri=f"http://127.0.0.1:{closed_port}")
    assert "\n" not in str(caught.value)
    assert not (layout.reports / "register.json").exists()
    assert _run(layout)["is_champion"]


@pytest.fixture
def closed_port() -> int:
    """A loopback port that nobody listens on."""
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
    return port
