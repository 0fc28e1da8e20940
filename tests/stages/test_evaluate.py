"""The evaluate stage on a small real project, end to end on Ray, and its parts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from eval_project import FRAMES, eval_params, write_eval_project, write_model

from stages import evaluate, register
from stages.eval_summary import cost_table, costs, flat, ordered, summarise, table, task_name, verdict
from stages.evaluate import held_out
from stages.evaluation import keep_known
from stages.layout import Layout
from stages.tracking import connect
from svfr.errors import UserError
from svfr.params import EvaluateParams
from svfr.restore.ledger import model_digest
from svfr.restore.preserve import luma
from svfr.tables import Row


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("evaluate")
    layout = write_eval_project(root)
    evaluate.run(eval_params(root), root)
    return layout


def test_every_pair_is_measured_for_every_restorer(project: Layout) -> None:
    rows = project.read("results")
    digest = model_digest(project.model)
    assert {row["model"] for row in rows} == {digest, "degraded", "classical"}
    assert {row["pair_id"] for row in rows} == {row["pair_id"] for row in project.read("pairs")}
    of_inpaint = [row for row in rows if row["metric"] == "psnr_hole"]
    assert {row["task"] for row in of_inpaint} == {"inpaint"}
    ids = [row for row in rows if row["metric"] == "ids"]
    assert {row["backend"] for row in ids} == {"dlib"}
    assert all(len(row["network_sha256"]) == 64 and row["n_frames"] == FRAMES for row in ids)


def test_reports_say_what_was_and_was_not_measured(project: Layout) -> None:
    folder = project.reports / "eval"
    summary = json.loads((folder / "metrics.json").read_text())
    cell = summary["bfr"]["psnr"]
    assert set(cell) == {"model", "degraded", "classical", "gain", "pairs"}
    assert cell["gain"] == pytest.approx(cell["model"] - cell["degraded"])
    chroma = summary["color"]["chroma_error"]
    assert chroma["gain"] == pytest.approx(chroma["degraded"] - chroma["model"])
    protocol = json.loads((folder / "protocol.json").read_text())
    assert protocol["model_sha256"] == model_digest(project.model)
    assert "alexnet" in protocol["not_available"]["lpips"]
    assert "lpips" not in protocol["metrics"]
    cost = json.loads((folder / "cost.json").read_text())["bfr"]
    assert set(cost["seconds_frame"]) == {"model", "classical"}
    assert cost["seconds_frame"]["model"] > 0
    assert cost["memory_mib"]["model"] > cost["memory_mib"]["classical"] >= 0
    assert (folder / "psnr.csv").read_text().startswith("task,pair_id,classical,degraded,model\n")
    for name in ("contact_sheet.png", "psnr.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 300


def test_means_are_those_of_the_table(project: Layout) -> None:
    summary = json.loads((project.reports / "eval" / "metrics.json").read_text())
    rows = [r for r in project.read("results") if r["task"] == "bfr" and r["metric"] == "psnr"]
    degraded = [row["value"] for row in rows if row["model"] == "degraded"]
    assert summary["bfr"]["psnr"]["degraded"] == pytest.approx(np.mean(degraded))
    assert summary["bfr"]["psnr"]["pairs"] == len(degraded) == 2


def test_known_pixels_come_from_the_input(project: Layout) -> None:
    summary = json.loads((project.reports / "eval" / "metrics.json").read_text())
    # the untrained model can only be wrong inside the hole, so the whole picture is better than the hole
    assert summary["inpaint"]["psnr"]["model"] > summary["inpaint"]["psnr_hole"]["model"]


def test_the_run_is_in_mlflow(project: Layout) -> None:
    client = connect("sqlite:///mlflow.db", project.root)
    experiment = client.get_experiment_by_name("svfr")
    runs = client.search_runs([experiment.experiment_id], "tags.`svfr.stage` = 'evaluate'")
    assert len(runs) == 1
    summary = json.loads((project.reports / "eval" / "metrics.json").read_text())
    assert runs[0].data.metrics["bfr/psnr"] == pytest.approx(summary["bfr"]["psnr"]["model"])
    names = {file.path for file in client.list_artifacts(runs[0].info.run_id, "eval")}
    assert "eval/contact_sheet.png" in names


def test_again_gives_the_same_bytes_and_no_second_run(project: Layout) -> None:
    paths = [project.table("results"), *sorted((project.reports / "eval").iterdir())]
    before = {path: path.read_bytes() for path in paths}
    evaluate.run(eval_params(project.root), project.root)
    assert {path: path.read_bytes() for path in paths} == before
    client = connect("sqlite:///mlflow.db", project.root)
    assert len(client.search_runs([client.get_experiment_by_name("svfr").experiment_id])) == 1


def test_an_empty_split_is_one_clear_line(project: Layout) -> None:
    with pytest.raises(UserError, match="no pair is in split 'val'"):
        evaluate.run(eval_params(project.root, split="val"), project.root)


def _row(pair: str, model: str, value: float, metric: str = "psnr", task: str = "bfr") -> Row:
    return {"pair_id": pair, "model": model, "task": task, "metric": metric, "value": value}


def test_a_mean_counts_only_pairs_that_all_restorers_have() -> None:
    rows = [_row("a", "d", 30.0), _row("a", "degraded", 28.0), _row("b", "d", 90.0)]
    assert summarise(rows, "d", {"psnr": True}) == {
        "bfr": {"psnr": {"model": 30.0, "degraded": 28.0, "gain": 2.0, "pairs": 1}}
    }


def test_the_verdict_is_plain_in_both_directions() -> None:
    summary = {
        task: {"psnr": {"model": m, "degraded": 28.0, "gain": m - 28.0}} for task, m in (("bfr", 29.5), ("x", 27.0))
    }
    assert "bfr: the model is 1.50 dB better than the degraded input" in verdict(summary)
    assert "x: the model is 1.00 dB WORSE than the degraded input" in verdict(summary)
    assert "29.5000" in table(summary, [])
    assert flat({"bfr+color": {"psnr": {"model": 1.0, "degraded": 2.0}}}) == {
        "bfr-color/psnr": 1.0,
        "bfr-color/psnr/degraded": 2.0,
    }


def test_costs_count_a_pair_once() -> None:
    took = {"n_frames": 4, "seconds": 2.0, "memory_mib": 7.0}
    rows = [_row("a", "model", 1.0) | took, _row("a", "model", 1.0, "ssim") | took]
    rows += [_row("b", "model", 1.0) | took | {"seconds": 4.0, "memory_mib": 3.0}]
    rows += [_row("a", "stc", 1.0) | took | {"memory_mib": None}, _row("a", "degraded", 1.0) | took]
    found = costs(rows)
    assert found == {"bfr": {"seconds_frame": {"model": 0.75, "stc": 0.5}, "memory_mib": {"model": 7.0}}}
    assert flat(found)["bfr/seconds_frame/stc"] == 0.5
    assert cost_table(found).splitlines()[1:] == [
        f"{'bfr':<20} {'model':<18}{'750.0':>12}{'7':>12}",
        f"{'bfr':<20} {'stc':<18}{'500.0':>12}{'-':>12}",
    ]


def test_single_tasks_and_pixel_metrics_come_first() -> None:
    cell = {"model": 1.0, "degraded": 2.0, "gain": -1.0}
    summary = {"bfr+color": {"psnr": cell}, "inpaint": {"ids": cell, "psnr": cell}, "bfr": {"psnr": cell}}
    assert [task for task, _ in ordered(summary)] == ["bfr", "inpaint", "bfr+color"]
    assert [metric for metric, _ in ordered(summary)[1][1]] == ["psnr", "ids"]


def test_a_limit_takes_every_task_in_turn() -> None:
    bits = [("bfr",), ("color",), ("inpaint",)]
    pairs = [
        {"pair_id": f"{n}", "split": "test", **{t: t in bits[n % 3] for t in ("bfr", "color", "inpaint")}}
        for n in range(9)
    ]
    chosen = held_out(pairs, EvaluateParams(max_pairs=4))
    assert {task_name(pair) for pair in chosen[:3]} == {"bfr", "color", "inpaint"}
    assert len(chosen) == 4
    assert len(held_out(pairs, EvaluateParams())) == 9


def test_luma_is_kept_in_colorization_alone() -> None:
    rng = np.random.default_rng(0)
    restored = rng.integers(60, 190, (1, 8, 8, 3)).astype(np.uint8)
    grey = rng.integers(60, 190, (1, 8, 8, 1)).astype(np.uint8).repeat(3, axis=-1)
    kept = keep_known(restored, grey, ("color",), None)
    assert np.abs(luma(kept[0].astype(np.float32))[..., 0] - grey[0, ..., 0]).max() <= 1
    np.testing.assert_array_equal(keep_known(restored, grey, ("bfr", "color"), None), restored)


def test_a_champion_of_other_pairs_is_measured_again(project: Layout) -> None:
    few = eval_params(project.root, max_pairs=3)
    for note, params in ((0, eval_params(project.root)), (1, few)):
        write_model(project.model, note)
        evaluate.run(params, project.root)
        register.run(params, project.root)
    told = json.loads((project.reports / "register.json").read_text())
    # the same weights on the same pairs: exactly as good, so the champion stays
    assert (told["version"], told["champion"]) == (2, 1)
    against = f"{told['value']:.4f} against {told['value']:.4f} of version 1"
    assert against in told["why"]
    first = connect("sqlite:///mlflow.db", project.root).get_model_version("svfr", "1")
    assert float(first.tags["svfr.value"]) != pytest.approx(told["value"])
