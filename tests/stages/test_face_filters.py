"""The filters of face clips: order, limits, and what a limit costs."""

from __future__ import annotations

from typing import Any

import pytest

from stages.face_filters import FILTERS, MEASURED, TRACK, judge, measuring_options
from svfr.params import FaceParams
from svfr.tables import CLIPS

GOOD: dict[str, Any] = {
    "n_frames": 40,
    "duration": 1.6,
    "region_overlap": None,
    "face_px": 600.0,
    "face_proportion": 0.1,
    "confidence": 0.99,
    "coverage": 1.0,
    "cuts": 0,
    "alpha_min": 0.9,
    "alpha_max": 1.1,
    "frontal": 1.5,
    "text_score": 0.2,
    "blur": 100.0,
    "change": 0.8,
    "motion": 0.02,
}
BAD = {
    "too_short": {"n_frames": 15},
    "other_face": {"region_overlap": 0.1},
    "small_face": {"face_px": 511.0},
    "occluded": {"coverage": 0.4},
    "cut_inside": {"cuts": 1},
    "side_face": {"alpha_max": 2.6},
    "text": {"text_score": 0.96},
    "frozen": {"change": 0.02},
}


def test_a_good_clip_is_refused_by_nothing_and_every_filter_looks_at_a_column() -> None:
    assert judge(GOOD, FILTERS, FaceParams()) == ("", "")
    assert {each.column for each in FILTERS} <= set(CLIPS.names)
    assert set(GOOD) == {each.column for each in FILTERS}


@pytest.mark.parametrize("reason", BAD)
def test_each_filter_refuses_with_value_and_limit(reason: str) -> None:
    ((column, value),) = BAD[reason].items()
    found, why = judge(GOOD | BAD[reason], FILTERS, FaceParams())
    assert found == reason
    assert f"{value:.4g}" in why
    assert "faces." in why
    assert judge(GOOD | {column: None}, FILTERS, FaceParams())[0] == ""  # not measured refuses nothing


@pytest.mark.parametrize("alpha", [{"alpha_min": 0.39}, {"alpha_min": -3.0, "alpha_max": -2.0}, {"frontal": -0.2}])
def test_a_side_view_is_seen_by_its_landmarks_or_by_the_frontal_detector(alpha: dict[str, float]) -> None:
    assert judge(GOOD | alpha, MEASURED, FaceParams())[0] == "side_face"


def test_the_first_filter_gives_the_reason_whatever_else_is_wrong() -> None:
    worst = GOOD | {name: value for change in BAD.values() for name, value in change.items()}
    assert [judge(worst, FILTERS[n:], FaceParams())[0] for n in (0, len(TRACK))] == ["too_short", "cut_inside"]


def test_limits_decided_after_measuring_are_no_part_of_what_was_measured() -> None:
    relaxed = FaceParams(max_text=0.5, min_blur=3, max_hash_distance=0.2, alpha_min=0.1, min_frontal=-1)
    assert measuring_options(relaxed) == measuring_options(FaceParams())
    assert measuring_options(FaceParams(min_face_px=64)) != measuring_options(FaceParams())
    assert measuring_options(FaceParams(size=256)) != measuring_options(FaceParams())
