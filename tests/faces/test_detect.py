"""Detectors on real portraits: the right place, at any size, nothing where nobody is."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from PIL import Image

from svfr.errors import UserError, WeightsMissing
from svfr.faces.detect import Detector, Face, build_detector

COLLINS = (180.0, 75.0, 268.0, 175.0)  # the face in skimage's astronaut, by eye


def _hopper() -> np.ndarray:
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return np.asarray(Image.open(path).convert("RGB"))


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    side = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.clip(side, 0, None).prod())
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@pytest.fixture(scope="module", params=["mtcnn", "dlib_hog"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return build_detector(request.param)


def test_a_face_is_found_where_it_is(detector: Detector) -> None:
    faces = detector([skimage.data.astronaut()])[0]
    assert len(faces) == 1
    assert _overlap(faces[0].box, COLLINS) > 0.6
    assert faces[0].score > 0.8
    assert detector.name in ("mtcnn", "dlib_hog")
    assert any(character.isdigit() for character in detector.version)


def test_boxes_come_back_in_the_frames_own_pixels(detector: Detector) -> None:
    photo = skimage.data.astronaut()
    large = cv2.resize(photo, (1536, 1536), interpolation=cv2.INTER_CUBIC)
    box = detector([large])[0][0].box
    assert _overlap(tuple(v / 3 for v in box), COLLINS) > 0.55


def test_nobody_is_found_where_nobody_is(detector: Detector) -> None:
    for picture in (skimage.data.coffee(), np.zeros((64, 48, 3), np.uint8), np.full((8, 8, 3), 90, np.uint8)):
        assert detector([picture, picture]) == [[], []]
    assert detector([]) == []


def test_a_batch_gives_what_single_frames_give(detector: Detector) -> None:
    photo = skimage.data.astronaut()
    frames = [photo, np.zeros_like(photo), np.ascontiguousarray(photo[:, ::-1])] * 4  # more than one batch
    together = detector(frames)
    assert [len(faces) for faces in together] == [1, 0, 1] * 4
    for frame, faces in zip(frames[:3], together, strict=False):
        for a, b in zip(detector([frame])[0], faces, strict=True):
            assert np.allclose(a.box, b.box, atol=0.5)


def test_two_people_best_first() -> None:
    photo = skimage.data.astronaut()
    hopper = cv2.resize(_hopper(), (512, 512), interpolation=cv2.INTER_AREA)
    faces = build_detector("mtcnn")([np.concatenate([photo, hopper], axis=1)])[0]
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score
    left = min(faces, key=lambda face: face.box[0])
    assert left.points5 is not None
    eyes, mouth = left.points5[:2], left.points5[3:]
    assert eyes[0, 0] < eyes[1, 0]
    assert eyes[:, 1].max() < mouth[:, 1].min()


def test_options_reach_the_detector() -> None:
    photo = skimage.data.astronaut()
    assert build_detector("mtcnn", min_face=300)([photo]) == [[]]
    with pytest.raises(UserError, match="nonsense"):
        build_detector("mtcnn", nonsense=1)
    with pytest.raises(UserError, match="viola"):
        build_detector("viola")


def test_detection_is_clipped_to_the_frame() -> None:
    tight = np.ascontiguousarray(skimage.data.astronaut()[80:170, 185:262])
    for faces in build_detector("mtcnn", min_face=40)([cv2.resize(tight, (308, 360))]):
        for face in faces:
            assert min(face.box) >= 0
            assert face.box[2] <= 308
            assert face.box[3] <= 360


def test_faces_compare_by_value() -> None:
    assert Face((0, 0, 1, 1), 0.5) == Face((0, 0, 1, 1), 0.5)


def test_names_load_without_the_packages() -> None:
    import subprocess

    script = (
        "import sys, svfr.faces.detect, svfr.faces.landmarks, svfr.faces.embed, svfr.faces.track, svfr.faces.crop\n"
        "print([m for m in ('facenet_pytorch', 'dlib', 'face_alignment', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    for name in ("yunet", "retinaface", "sfd"):
        with pytest.raises(WeightsMissing, match="svfr weights get"):
            build_detector(name)


@pytest.mark.parametrize("name", ["retinaface", "sfd"])
def test_face_alignment_networks_load_a_local_file_and_run_in_batches(name: str, tmp_path: Path) -> None:
    import torch
    from face_alignment.detection.retinaface.net_retinaface import RetinaFace
    from face_alignment.detection.sfd.net_s3fd import s3fd

    torch.manual_seed(0)
    torch.save((RetinaFace() if name == "retinaface" else s3fd()).state_dict(), tmp_path / "w.pth")
    frames = [skimage.data.astronaut()[:128, 100:228], skimage.data.coffee()[:128, 100:228]]
    detector = build_detector(name, weights=tmp_path / "w.pth", max_side=64)
    together = detector(frames)
    assert len(together) == 2
    for frame, faces in zip(frames, together, strict=True):
        alone = detector([frame])[0]
        assert len(faces) == len(alone)
        assert np.allclose([face.box for face in faces], [face.box for face in alone], atol=0.1)
        assert all(0 <= face.box[0] < face.box[2] <= 128 for face in faces)


@pytest.mark.data
def test_yunet_finds_the_face(shared: Path) -> None:
    detector = build_detector("yunet", weights=shared / "data" / "weights" / "face_detection_yunet_2023mar.onnx")
    faces = detector([skimage.data.astronaut(), skimage.data.coffee()[:, :512].repeat(2, 0)[:512]])
    assert len(faces[0]) == 1
    assert faces[1] == []
    assert _overlap(faces[0][0].box, COLLINS) > 0.5
    assert detector.version.startswith("face-alignment")
