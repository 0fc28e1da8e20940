"""The second family in the stages: measured beside the first, registered and found again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from eval_project import SIZE, eval_params, write_eval_project

from stages import evaluate, register_stc
from stages.layout import Layout
from stages.model_store import resolve_model
from svfr.errors import UserError
from svfr.models.stc import build_stc
from svfr.models.stc.folder import load_stc_folder, save_stc_folder
from svfr.params import Params
from svfr.restore.ledger import model_digest


def write_stc(folder: Path, variant: str) -> None:
    torch.manual_seed(0)
    sizes = {"channels": 8, "embedding": 16, "codes": 32, "heads": 2, "layers": 1, "norm_groups": 4}
    network = build_stc(variant, tokens=(SIZE // 8) ** 2, legacy_residual=False, **sizes)  # type: ignore[arg-type]
    save_stc_folder(folder, network, window=2, trained={})


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Params]:
    layout = write_eval_project(tmp_path_factory.mktemp("both"))
    write_stc(layout.stc_model, "bfvr")
    params = eval_params(layout.root, also=["models/stc"], metrics=["psnr", "chroma_error"])
    evaluate.run(params, layout.root)
    return layout, params


def test_both_models_are_measured_on_the_tasks_they_have(measured: tuple[Layout, Params]) -> None:
    layout, _ = measured
    folder = layout.reports / "eval"
    both, own = (json.loads((folder / name / "metrics.json").read_text()) for name in ("", "stc"))
    assert set(both["bfr"]["psnr"]) == {"model", "degraded", "classical", "stc", "gain", "pairs"}
    assert "stc" not in both["color"]["psnr"]
    assert set(own) == {"bfr"}
    assert own["bfr"]["psnr"]["model"] == both["bfr"]["psnr"]["stc"]
    assert own["bfr"]["psnr"]["degraded"] == both["bfr"]["psnr"]["degraded"]
    protocol = json.loads((folder / "stc" / "protocol.json").read_text())
    assert protocol["model_sha256"] == model_digest(layout.stc_model)
    rows = [row for row in layout.read("results") if row["model"] == model_digest(layout.stc_model)]
    assert {row["task"] for row in rows} == {"bfr"}
    assert (folder / "psnr.csv").read_text().startswith("task,pair_id,classical,degraded,model,stc\n")
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 1000  # five columns


def test_it_is_registered_under_its_own_name(measured: tuple[Layout, Params]) -> None:
    layout, params = measured
    register_stc.run(params, layout.root)
    told = json.loads((layout.reports / "register-stc.json").read_text())
    assert (told["name"], told["is_champion"], told["metric"]) == ("stc", True, "bfr/psnr")
    folder = resolve_model("models:/stc@champion", params.register_.tracking_uri, layout.root / "got", layout.root)
    assert load_stc_folder(folder)[1]["tasks"] == ["bfr"]


def test_a_model_without_a_held_out_task_is_refused(measured: tuple[Layout, Params], tmp_path: Path) -> None:
    layout, params = measured
    write_stc(tmp_path / "stc", "deflicker")
    with pytest.raises(UserError, match="does deflicker, of which no pair is held out"):
        evaluate.evaluate_model(params, layout, tmp_path / "stc")
