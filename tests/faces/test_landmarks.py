"""Landmarks, the five points, and embeddings, on two real people."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from svfr.errors import UserError, WeightsMissing
from svfr.faces.detect import build_detector
from svfr.faces.embed import build_embedder, distance
from svfr.faces.landmarks import build_landmarker, five_points

_BOX = (178.6, 61.0, 266.9, 173.5)


@pytest.fixture(scope="module")
def people() -> list[tuple[np.ndarray, np.ndarray]]:
    """(picture, landmarks) of Eileen Collins, of her picture mirrored and darkened, and of Grace Hopper."""
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    collins = skimage.data.astronaut()
    other = np.ascontiguousarray(collins[:, ::-1] // 3 * 2)
    detect, locate = build_detector("mtcnn"), build_landmarker("dlib68")
    pictures = [collins, other, np.asarray(Image.open(path).convert("RGB"))]
    return [(picture, locate(picture, [detect([picture])[0][0].box])[0]) for picture in pictures]


def test_landmarks_lie_on_the_face(people: list[tuple[np.ndarray, np.ndarray]]) -> None:
    points5 = build_detector("mtcnn")([people[0][0]])[0][0].points5
    assert points5 is not None
    landmarks = people[0][1]
    assert landmarks.shape == (68, 2)
    eyes = np.linalg.norm(landmarks[36] - landmarks[45])
    assert np.abs(five_points(landmarks) - points5).max() < 0.08 * eyes


def test_landmarks_hardly_depend_on_the_detectors_box() -> None:
    photo, locate = skimage.data.astronaut(), build_landmarker("dlib68")
    x1, y1, x2, y2 = _BOX
    boxes = [_BOX, (x1 - 10, y1 - 10, x2 + 10, y2 + 10), (x1 + 8, y1 + 15, x2 - 2, y2)]
    found = locate(photo, boxes)
    assert found.shape == (3, 68, 2)
    assert np.linalg.norm(found - found[:1], axis=-1).mean() < 2.5
    assert locate(photo, []).shape == (0, 68, 2)


def test_landmarks_go_on_from_the_frame_before_while_they_fit() -> None:
    photo, locate = skimage.data.astronaut(), build_landmarker("dlib68")
    alone = locate(photo, [_BOX])
    moved = alone[0] + [6.0, 4.0]  # as the face stood one frame earlier
    assert np.linalg.norm(locate(photo, [_BOX], [moved]) - alone, axis=-1).mean() < 2.5
    far = alone[0] + [200.0, 200.0]
    assert np.array_equal(locate(photo, [_BOX, _BOX], [far, None]), np.concatenate([alone, alone]))


def test_five_points_are_means_and_corners() -> None:
    points = np.random.default_rng(0).normal(size=(4, 68, 2))
    five = five_points(points)
    assert five.shape == (4, 5, 2)
    assert np.allclose(five[:, 0], points[:, 36:42].mean(1))
    assert np.allclose(five[:, 1], points[:, 42:48].mean(1))
    assert np.array_equal(five[:, 2:], points[:, [30, 48, 54]])


def test_embeddings_tell_people_apart(people: list[tuple[np.ndarray, np.ndarray]]) -> None:
    embed = build_embedder("dlib")
    collins, mirrored, hopper = (embed(picture, landmarks) for picture, landmarks in people)
    assert collins.shape == (embed.dim,) == (128,)
    assert collins.dtype == np.float32
    assert np.array_equal(collins, embed(*people[0]))
    assert distance(collins, mirrored) < embed.same_person < distance(collins, hopper)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="dlib68"):
        build_landmarker("mediapipe")
    with pytest.raises(UserError, match="arcface"):
        build_embedder("facenet")


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    for build, name in ((build_landmarker, "fan"), (build_embedder, "arcface")):
        with pytest.raises(WeightsMissing, match="svfr weights get"):
            build(name)  # type: ignore[operator]


@pytest.mark.slow  # the package compiles its post-processing at the first call
def test_fan_loads_a_local_file_and_returns_points_in_the_frame(tmp_path: Path) -> None:
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / "fan.pth")
    hub = torch.hub.get_dir()
    fan = build_landmarker("fan", weights=tmp_path / "fan.pth")
    assert torch.hub.get_dir() == hub
    found = fan(cv2.resize(skimage.data.astronaut(), (256, 256)), [(90.0, 30.0, 133.0, 87.0)] * 2)
    assert found.shape == (2, 68, 2)
    assert np.isfinite(found).all()
    assert np.array_equal(found[0], found[1])


def test_arcface_loads_a_local_file(tmp_path: Path, people: list[tuple[np.ndarray, np.ndarray]]) -> None:
    from svfr.models.iresnet import IResNet

    torch.manual_seed(0)
    torch.save(IResNet((2, 2, 2, 2)).state_dict(), tmp_path / "arcface.pth")
    embed = build_embedder("arcface", weights=tmp_path / "arcface.pth")
    vector = embed(*people[0])
    assert vector.shape == (512,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert distance(vector, embed(*people[2])) > 1e-3
