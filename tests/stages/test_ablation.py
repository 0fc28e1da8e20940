"""The ablation: the paper's rows, a project folder for each, and the report on small trained models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from project_files import write_project

from stages.ablation import report, run
from stages.ablation_rows import METRICS, ROWS, WITH_ULR, WITHOUT_ULR
from stages.layout import Layout
from stages.variants import named
from svfr.errors import UserError
from svfr.models.folder import load_model_folder, save_model_folder
from svfr.params import TrainParams, load_params
from svfr.training.config import TrainConfig
from svfr.training.features import Features, agreement, mid_features

SECTIONS = ("engine", "download", "faces", "score", "degrade", "base", "encode", "evaluate", "register", "restore")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, clips=3)
    sections = {name: {} for name in SECTIONS} | {"train": {"frames": 2, "steps": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    return tmp_path


def _pretend(project: Path, name: str, noise: float) -> None:
    """What training and evaluation of a row would leave."""
    folder = named(ROWS, name).folder(project)
    bundle = load_model_folder(Layout(project).base_model)
    for parameter in bundle.unet.parameters():
        parameter.data += noise * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    save_model_folder(Layout(folder).model, bundle)
    for part, figures in (("train", {"landmark_px": 7.25}), ("eval", {"bfr": {"psnr": {"model": 21.5}}})):
        (folder / "reports" / part).mkdir(parents=True)
        (folder / "reports" / part / "metrics.json").write_text(json.dumps(figures))


def test_the_rows_are_the_papers() -> None:
    published = [row for row in ROWS if row.paper]
    assert len(published) == 5
    assert all(set(row.paper) == set(METRICS) for row in published)
    assert [(row.changes["train.lambda_ulr"], row.changes["train.lambda_prior"]) for row in published] == [
        (0, 0), (0.1, 0), (0.01, 0), (0.01, 0.5), (0.01, 0.1),
    ]  # fmt: skip
    # SVFR supplement: the last row is the best in PSNR on every task, and differs from the first as stated
    best = named(ROWS, "full").paper["psnr"]
    assert all(best[i] == max(row.paper["psnr"][i] for row in published) for i in range(3))
    assert best[0] - named(ROWS, "neither").paper["psnr"][0] == pytest.approx(0.627)
    with pytest.raises(UserError, match="unknown ablation 'x': choose among neither, strong-ulr"):
        named(ROWS, "x")


def test_a_row_is_a_project_of_its_own(project: Path) -> None:
    folder = named(ROWS, "no-reference").folder(project)
    params = load_params(folder / "params.yaml")
    assert (params.train.lambda_ulr, params.train.lambda_prior, params.train.reference_drop) == (0.01, 0.1, 1.0)
    assert not params.evaluate.self_refer
    assert params.train.frames == 2
    assert params.register_.tracking_uri == f"sqlite:///{project.resolve()}/mlflow.db"
    assert Layout(folder).read("pairs") == Layout(project).read("pairs")
    assert named(ROWS, "no-reference").folder(project) == folder
    assert not named(ROWS, "no-reference").finished(folder)
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("steps: 1", "steps: 2"))
    assert named(ROWS, "no-reference").folder(project) != folder
    (project / "data" / "latents" / "latents.parquet").unlink()
    with pytest.raises(UserError, match=r"latents.parquet is missing: run the stages before training first"):
        named(ROWS, "full").folder(project)


def test_the_report_shows_what_is_finished_beside_the_paper(project: Path) -> None:
    params = load_params(project / "params.yaml")
    with pytest.raises(UserError, match="no row of the ablation is finished"):
        run(params, project)
    _pretend(project, WITH_ULR, 0.0)
    _pretend(project, WITHOUT_ULR, 0.1)
    run(params, project)
    folder = project / "reports" / "ablation"
    table = (folder / "table.md").read_text()
    assert "| λ₁ = 0.01, λ₂ = 0.1 (SVFR) | ours | 21.500 / - / - |" in table
    assert "| | paper | 29.563 / 23.079 / 29.119 |" in table
    assert "Not finished: neither, strong-ulr, ulr-only, strong-prior, no-reference." in table
    figures = json.loads((folder / "figures.json").read_text())
    assert all(-1.001 <= figures[WITH_ULR]["mid_block"][kind] <= 1.001 for kind in ("same", "other"))
    assert figures[WITH_ULR]["mid_block"] != figures[WITHOUT_ULR]["mid_block"]
    assert (folder / "features.png").stat().st_size > 5000


def test_mid_features_are_the_same_views_for_every_model(project: Path) -> None:
    config = TrainConfig.below(project, TrainParams(frames=2))
    bundle = load_model_folder(config.base)
    first, again = mid_features(bundle, config), mid_features(bundle, config, views=2)
    assert first.values.shape == (12, 32)
    assert first.split == ["train"] * 9 + ["val"] * 3
    assert first.clip.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    torch.testing.assert_close(again.values[0], first.values[0], rtol=0.5, atol=0.5)
    torch.testing.assert_close(mid_features(bundle, config).values, first.values, rtol=0, atol=0)


def test_agreement_of_clear_and_of_mixed_clips() -> None:
    clip = torch.tensor([0, 0, 1, 1])
    clear = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
    found = agreement(Features(clear, clip, ["train"] * 4))
    assert found.same > 0.9
    assert found.other < -0.9
    assert found.nearest == 1.0
    assert found.gap == pytest.approx(found.same - found.other)
    mixed = agreement(Features(clear, torch.tensor([0, 1, 0, 1]), ["train"] * 4))
    assert mixed.gap < 0
    assert mixed.nearest == 0.0


def test_rows_that_are_missing_have_no_figures() -> None:
    assert "| λ₁ = 0, λ₂ = 0 | ours | - / - / - |" in report({})
