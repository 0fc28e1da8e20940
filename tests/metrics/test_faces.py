"""Identity and landmark metrics on real portraits, with the networks that ship in packages."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut

from svfr.errors import ItemError, UserError
from svfr.faces.landmarks import build_landmarker
from svfr.metrics.base import Hints, Metric
from svfr.metrics.registry import Backends, MetricSet

SIDE = 192


def _clip(picture: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Three frames of a portrait, each moved by two pixels."""
    x1, y1, x2, y2 = box
    frames = [picture[y1 : y2 + 1, x1 + 2 * t : x2 + 2 * t + 1] for t in range(3)]
    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in frames])


@pytest.fixture(scope="module")
def people() -> dict[str, tuple[np.ndarray, Hints]]:
    with get_sample_data("grace_hopper.jpg") as file:
        hopper = np.asarray(Image.open(file).convert("RGB"))
    clips = {"collins": _clip(astronaut(), (130, 10, 320, 200)), "hopper": _clip(hopper, (120, 20, 400, 300))}
    fit = build_landmarker("dlib68")
    inner = (SIDE * 0.2, SIDE * 0.2, SIDE * 0.8, SIDE * 0.85)
    return {
        name: (frames, Hints(points68=np.stack([fit(frame, [inner])[0] for frame in frames])))
        for name, frames in clips.items()
    }


@pytest.fixture(scope="module")
def metrics() -> dict[str, Metric]:
    shared = MetricSet(Backends(identity="dlib", landmarks="dlib68"))
    return {name: shared.build(name) for name in ("ids", "vidd", "lmd", "akd")}


def test_identity_separates_people(people: dict[str, tuple[np.ndarray, Hints]], metrics: dict[str, Metric]) -> None:
    truth, hints = people["collins"]
    other, _ = people["hopper"]
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in truth])
    ids = metrics["ids"]
    assert ids(truth, truth, hints) == pytest.approx(1)
    assert 1 > ids(blurred, truth, hints) > ids(other, truth, hints) + 0.02
    assert ids.backend == "dlib"
    assert len(ids.network_sha256) == 64


def test_vidd_is_zero_when_frozen_and_grows_with_change(
    people: dict[str, tuple[np.ndarray, Hints]], metrics: dict[str, Metric]
) -> None:
    truth, hints = people["collins"]
    other, _ = people["hopper"]
    assert hints.points68 is not None
    frozen = Hints(points68=np.repeat(hints.points68[:1], 3, axis=0))
    still = np.repeat(truth[:1], 3, axis=0)
    swapped = truth.copy()
    swapped[1] = other[1]
    vidd = metrics["vidd"]
    assert vidd(still, still, frozen) == 0
    assert vidd(swapped, truth, hints) > vidd(truth, truth, hints)


def test_landmark_distances(people: dict[str, tuple[np.ndarray, Hints]], metrics: dict[str, Metric]) -> None:
    truth, hints = people["collins"]
    moved = np.roll(truth, 6, axis=2)
    assert metrics["lmd"](truth, truth, hints) == 0
    lmd = metrics["lmd"](moved, truth, hints)
    assert lmd == pytest.approx(6 * 512 / SIDE, rel=0.35)
    akd = metrics["akd"](moved, truth, hints)
    assert akd == pytest.approx(lmd / 4, rel=0.35)  # half the picture's size, and x alone of two coordinates


def test_frames_without_a_face_are_left_out(
    people: dict[str, tuple[np.ndarray, Hints]], metrics: dict[str, Metric]
) -> None:
    truth, hints = people["collins"]
    assert hints.points68 is not None
    gap = hints.points68.copy()
    gap[1] = np.nan
    ruined = truth.copy()
    ruined[1] = 0
    assert metrics["ids"](ruined, truth, Hints(points68=gap)) == pytest.approx(1)
    with pytest.raises(ItemError, match="consecutive"):
        metrics["vidd"](truth, truth, Hints(points68=gap))
    for name in ("ids", "lmd"):
        with pytest.raises(ItemError, match="face"):
            metrics[name](truth, truth, Hints())
        with pytest.raises(ItemError, match="landmarks"):
            metrics[name](truth, truth, Hints(points68=np.full_like(gap, np.nan)))


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(UserError, match="dlib, arcface, ir_se50"):
        MetricSet(Backends(identity="facenet")).build("ids")
