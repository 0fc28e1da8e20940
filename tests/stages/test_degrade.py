"""The pairs table: nobody is in two splits, and the parameters decide how training views are drawn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from eval_project import clip_row, eval_params

from stages.degrade import run
from stages.layout import Layout
from svfr.degrade import PRESETS, Recipe, sample_recipe
from svfr.errors import UserError
from svfr.params import DegradeParams
from svfr.tables import SCORES, Row, read_table

PEOPLE, VIDEOS_EACH, CLIPS_EACH = 8, 2, 2


def _project(root: Path) -> Layout:
    """Every person is in two videos, and the first video also shows the second person."""
    layout, rows = Layout(root), []
    draw = np.random.default_rng(0)
    for person in range(PEOPLE):
        face = draw.normal(size=8)
        for video in range(VIDEOS_EACH):
            for _ in range(CLIPS_EACH):
                near = (face + draw.normal(scale=0.01, size=8)).tolist()
                rows.append(clip_row(f"c{len(rows)}", "", 0, 0) | {"video_id": f"v{person}-{video}", "identity": near})
    guest = rows[CLIPS_EACH * VIDEOS_EACH]["identity"]
    rows.append(clip_row(f"c{len(rows)}", "", 0, 0) | {"video_id": "v0-0", "identity": guest})
    layout.write("clips", rows, [])
    text = {field.name: "" for field in SCORES if str(field.type) == "string"}
    score = {**text, "frames": [], "scores": [], "mean": 1.0, "min": 1.0, "kept": True}
    layout.write("scores", [score | {"clip_id": row["clip_id"]} for row in rows], [])
    return layout


def _pairs(root: Path, **options: Any) -> tuple[Layout, list[Row]]:
    layout = _project(root)
    values = {"val_share": 0.25, "test_share": 0.25, **options}
    run(eval_params(root).model_copy(update={"degrade": DegradeParams(**values)}), root)
    return layout, layout.read("pairs")


@pytest.mark.parametrize("seed", range(4))
def test_no_person_and_no_video_is_in_two_splits(tmp_path: Path, seed: int) -> None:
    layout, pairs = _pairs(tmp_path, seed=seed)
    videos = {clip["clip_id"]: clip["video_id"] for clip in layout.read("clips")}
    by_person: dict[str, set[str]] = {}
    by_video: dict[str, set[str]] = {}
    for pair in pairs:
        by_person.setdefault(pair["identity_id"], set()).add(pair["split"])
        by_video.setdefault(videos[pair["clip_id"]], set()).add(pair["split"])
    assert len(by_person) == PEOPLE
    assert {name for splits in by_person.values() for name in splits} == {"train", "val", "test"}
    assert all(len(splits) == 1 for splits in [*by_person.values(), *by_video.values()])
    left_out = {reject["item_id"] for reject in read_table(layout.rejects("pairs"), "rejects")}
    assert left_out == videos.keys() - {pair["clip_id"] for pair in pairs}


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    tables = [_pairs(tmp_path / name)[0].table("pairs").read_bytes() for name in ("a", "b")]
    assert tables[0] == tables[1]


def test_training_views_are_full_and_drawn_once_unless_asked_otherwise(tmp_path: Path) -> None:
    _, pairs = _pairs(tmp_path)
    assert {(pair["schedule"], pair["vary"]) for pair in pairs} == {("full", "clip")}
    assert {pair["preset"] for pair in pairs} == {"stc"}


def test_a_share_of_training_views_is_noise_free(tmp_path: Path) -> None:
    _, pairs = _pairs(tmp_path, noise_free_share=0.25, pairs_per_clip=8, task_weights={"bfr": 1.0})
    quiet: dict[str, list[bool]] = {}
    for pair in pairs:
        if pair["split"] == "train":
            assert (pair["noise_sigma"] == 0) == (pair["schedule"] == "noise_free")
            quiet.setdefault(pair["clip_id"], []).append(pair["schedule"] == "noise_free")
        else:
            assert pair["schedule"] == "full"
    assert quiet
    assert all(sum(views) == 2 for views in quiet.values())


def test_training_views_may_vary_by_frame_and_held_out_ones_never_do(tmp_path: Path) -> None:
    _, pairs = _pairs(tmp_path, vary="frame")
    assert {(pair["split"] == "train", pair["vary"]) for pair in pairs} == {(True, "frame"), (False, "clip")}


def test_tasks_follow_the_weights_and_presets_are_used_alike(tmp_path: Path) -> None:
    presets = ["flicker", "old_film", "stc"]
    _, pairs = _pairs(tmp_path, presets=presets, pairs_per_clip=40, task_weights={"bfr+color": 3.0, "inpaint": 1.0})
    train = [pair for pair in pairs if pair["split"] == "train"]
    tasks = [Recipe.from_row(pair).task for pair in train]
    assert set(tasks) == {("bfr", "color"), ("inpaint",)}
    assert tasks.count(("bfr", "color")) == pytest.approx(0.75 * len(tasks), rel=0.1)
    for name in presets:
        assert sum(pair["preset"] == name for pair in train) == pytest.approx(len(train) / 3, rel=0.2)
    film = next(pair for pair in train if pair["preset"] == "old_film" and pair["bfr"])
    assert Recipe.from_row(film) == sample_recipe("old_film", film["seed"], ("bfr", "color"))
    assert film["film_grain"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presets": ["stcc"]}, f"unknown degradation preset 'stcc': choose among {', '.join(PRESETS)}"),
        ({"test_tasks": [[]]}, "no task given"),
        ({"task_weights": {"blur": 1.0}}, "unknown task blur"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _pairs(tmp_path, **options)


@pytest.mark.parametrize("options", [{"presets": []}, {"noise_free_share": 1.5}, {"vary": "always"}])
def test_bad_values_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        DegradeParams(**options)
