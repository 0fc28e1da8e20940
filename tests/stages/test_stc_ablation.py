"""BFVR-STC's ablation: its variants, what stage I makes of held-out clips, and the report in the paper's tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from project_files import FRAMES, SIZE, write_project

from stages.layout import Layout
from stages.stc_ablation import run
from stages.stc_ablation_rows import ROWS, STAGE_ONE, TABLES, StageOne
from stages.stc_reconstruction import reconstruct
from stages.variants import named
from svfr.errors import UserError
from svfr.models.stc import build_stc
from svfr.models.stc.folder import save_stc_folder
from svfr.params import load_params
from svfr.training.stc.config import STCTrainConfig

SECTIONS = ("engine", "download", "faces", "score", "degrade", "base", "encode", "train", "register", "restore")
NETWORK: dict[str, Any] = {"channels": 8, "embedding": 16, "codes": 32, "norm_groups": 4}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, clips=3)
    stc = {"network": NETWORK, "vqgan": {"frames": 4, "adversarial": "none"}, "predictor": {"noise_free_clips": 5}}
    sections = {name: {} for name in SECTIONS} | {"stc": stc, "evaluate": {"also": ["models/stc"]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    torch.manual_seed(0)
    network = build_stc("stage1", tokens=(SIZE // 8) ** 2, legacy_residual=False, **NETWORK)
    save_stc_folder(Layout(tmp_path).stc_vqgan, network, window=4, trained={})
    return tmp_path


def test_every_table_is_made_of_the_rows() -> None:
    shown = {name for table in TABLES for _, name, _ in table.rows}
    assert shown == {row.name for row in ROWS}
    assert all(len(paper) == len(table.columns) for table in TABLES for *_, paper in table.rows)


def test_a_row_changes_shares_of_the_profile(project: Path) -> None:
    params = {name: load_params(named(ROWS, name).folder(project) / "params.yaml") for name in (
        "base", "adversarial", "half-codes", "narrow", "conv", "holistic", "random")}  # fmt: skip
    assert (params["base"].stc.vqgan.adversarial, params["base"].stc.vqgan.lambda_prior) == ("none", 0.0)
    assert (params["adversarial"].stc.vqgan.adversarial, params["adversarial"].stc.vqgan.lambda_prior) == ("patch", 0.0)
    assert (params["half-codes"].stc.network.codes, params["narrow"].stc.network.embedding) == (16, 4)
    assert (params["conv"].stc.network.fusion, params["conv"].stc.vqgan.frames) == ("conv", 4)
    assert (params["holistic"].stc.predictor.noise_free_clips, params["random"].stc.predictor.vary) == (0, "frame")
    assert params["random"].stc.predictor.noise_free_clips == 5
    assert (params["random"].evaluate.model, params["random"].evaluate.also) == ("models/stc", [])
    with pytest.raises(UserError, match="unknown ablation 'x': choose among full, base"):
        named(ROWS, "x")


def test_held_out_clips_are_reconstructed_in_windows(project: Path) -> None:
    config = STCTrainConfig.below(project, load_params(project / "params.yaml").stc, "vqgan")
    found = reconstruct(config, "val", FRAMES)
    assert found is not None
    assert set(found.figures) == {"psnr", "ssim"} | {
        f"{kind}_{book}" for kind in ("used", "perplexity") for book in ("spatial", "temporal")
    }
    assert 5 < found.figures["psnr"] < 40
    assert found.counts.sum(1).tolist() == [2 * (SIZE // 8) ** 2] * 2  # one window of 4 of the 6 frames
    assert found.figures["used_spatial"] == np.count_nonzero(found.counts[0]) / 32
    assert len(found.codes_csv().splitlines()) == 33
    assert reconstruct(config, "test", FRAMES) is None


def test_the_report_has_the_papers_tables_and_the_codebooks(project: Path) -> None:
    params = load_params(project / "params.yaml")
    with pytest.raises(UserError, match=r"flows\.ablation --family stc"):
        run(params, project)
    for name, value in (("full", 0.75), ("adversarial", 0.5)):
        folder = named(ROWS, name).folder(project) / STAGE_ONE
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"l1": 1.0, "held_out": {"ssim": value, "used_spatial": 0.25}}))
        (folder / "codes.csv").write_text("code,spatial,temporal\n0,3,1\n1,0,1\n2,9,0\n")
    holistic = named(ROWS, "holistic").folder(project)
    (holistic / "reports" / "eval").mkdir(parents=True)
    figures = {"bfr": {"psnr": {"model": 20.5, "degraded": 19.0}}}
    (holistic / "reports" / "eval" / "metrics.json").write_text(json.dumps(figures))
    run(params, project)
    reports = project / "reports" / "ablation-stc"
    table = (reports / "table.md").read_text()
    assert "| Add | 0.75 / 0.9054 | - / 49.11 | - | 0.25 | - |" in table
    assert "| L_base + L_adv | 0.5 / 0.8914 | - / 65.9 | - | 0.25 | - |" in table
    assert "| Holistic | 20.5 / 27.05 | - / 0.8486 | - / 143.5 | - / 0.9233 |" in table
    assert "Not finished: base, conv, fft" in table
    assert json.loads((reports / "figures.json").read_text())["holistic"] == {"psnr": 20.5}
    assert (reports / "codebooks.png").stat().st_size > 5000


def test_stage_one_rows_need_no_model(project: Path) -> None:
    assert all("models/stc-vqgan" not in row.shared for row in ROWS if isinstance(row, StageOne))
    (project / "models" / "stc-vqgan" / "model.json").unlink()
    with pytest.raises(UserError, match=r"stc-vqgan/model.json is missing"):
        named(ROWS, "random").folder(project)
