"""Crop boxes and similarity fits: every golden case, and properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.errors import ItemError, UserError
from svfr.faces.geometry import FACE_TEMPLATE_256, crop_box, similarity_fit, union_box
from svfr.faces.identity_crop import align_face, crop_aligned, identity_crop

ARCFACE_112 = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])


@pytest.fixture(scope="module")
def cases(golden: Path) -> Any:
    return json.loads((golden / "svfr" / "geometry.json").read_text())


def test_all_golden_crop_boxes(cases: Any) -> None:
    assert len(cases["bbox"]) == 200
    for case in cases["bbox"]:
        assert list(crop_box(case["bbox"], case["h"], case["w"])) == case["out"]


def test_all_golden_similarity_fits(cases: Any) -> None:
    assert len(cases["affine"]) == 50
    assert np.array_equal(FACE_TEMPLATE_256, cases["template256"])
    for case in cases["affine"]:
        np.testing.assert_allclose(similarity_fit(case["pts"], 2 * FACE_TEMPLATE_256), case["mat"], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_crop_boxes_are_square_and_inside(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(64, 2000)), data.draw(st.integers(64, 2000))
    x1, y1 = data.draw(st.floats(0, width - 20)), data.draw(st.floats(0, height - 20))
    x2, y2 = data.draw(st.floats(x1 + 10, width)), data.draw(st.floats(y1 + 10, height))
    left, top, right, bottom = crop_box((x1, y1, x2, y2), height, width)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert abs((right - left) - (bottom - top)) <= 1


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.1, 10), st.floats(-500, 500), st.floats(-500, 500))
def test_a_similarity_is_recovered(angle: float, scale: float, tx: float, ty: float) -> None:
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[a, -b, tx], [b, a, ty]])
    moved = FACE_TEMPLATE_256 @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(similarity_fit(FACE_TEMPLATE_256, moved), matrix, atol=1e-6)


def test_impossible_faces_are_items_that_fail() -> None:
    with pytest.raises(ItemError, match="no face"):
        union_box([])
    assert union_box([(1, 2, 3, 4), (0, 3, 2, 9)]) == (0, 2, 3, 9)
    for box in ((5, 5, 5, 9), (-9, 0, -1, 9), (70, 0, 90, 9)):
        with pytest.raises(ItemError, match="no area"):
            crop_box(box, 64, 64)
    for points in (np.ones((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))):
        with pytest.raises(ItemError):
            similarity_fit(points, FACE_TEMPLATE_256)


def test_canonical_crop_puts_the_face_where_arcface_expects_it() -> None:
    """A bright dot at each landmark must appear at ArcFace's own five points; the official crop loses all but one."""
    points = FACE_TEMPLATE_256 * 1.7 + 30
    frame = torch.full((3, 512, 512), -1.0)
    for x, y in points.round().astype(int):
        frame[:, y - 8 : y + 9, x - 8 : x + 9] = 1.0
    canonical = identity_crop(frame, points)
    for x, y in ARCFACE_112.round().astype(int):
        assert canonical[:, y, x].min() > 0.5
    assert (canonical > 0).float().mean() < 0.1
    official = identity_crop(frame, points, "official")
    assert official[0, 103, 84].item() > 0.5


def test_crop_arguments_are_checked() -> None:
    aligned = align_face(torch.zeros(3, 100, 100), FACE_TEMPLATE_256)
    assert aligned.shape == (3, 512, 512)
    with pytest.raises(UserError, match="choose among"):
        crop_aligned(aligned[None], "wide")
    with pytest.raises(UserError, match="512"):
        crop_aligned(aligned[None, :, :256])
