"""Masks as a box, a picture and a video."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from svfr.errors import UserError
from svfr.restore.masks import Mask
from svfr.restore.media import Media, open_media


@pytest.fixture
def source(tmp_path: Path, kit: SimpleNamespace) -> Media:
    return open_media(kit.write_video(tmp_path / "v.mp4", kit.scenery(5)))


def test_box(source: Media) -> None:
    mask = next(Mask("box:10,20,30,50", source).read(0, 1))
    assert mask.shape == (144, 160)
    assert mask.sum() == 20 * 30
    assert mask[20:50, 10:30].all()


@pytest.mark.parametrize("spec", ["box:1,2,3", "box:5,5,5,9", "box:0,0,161,10", "box:a,b,c,d"])
def test_bad_box(spec: str, source: Media) -> None:
    with pytest.raises(UserError, match="mask 'box:"):
        Mask(spec, source)


def test_picture_of_another_size_and_grey_level(source: Media, tmp_path: Path) -> None:
    picture = np.zeros((72, 80, 3), np.uint8)
    picture[:, 40:] = 128
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    masks = list(Mask(str(tmp_path / "mask.png"), source).read(2, 5))
    assert len(masks) == 3
    assert masks[0].shape == (144, 160)
    assert masks[0][:, :70].max() == 0
    assert masks[0][70, 150] == pytest.approx(128 / 255, abs=1e-3)


def test_picture_of_another_shape_is_refused(source: Media, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mask.png"), np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(UserError, match=r"is 100 x 100, v\.mp4 is 160 x 144"):
        Mask(str(tmp_path / "mask.png"), source)


def test_moving_mask_follows_the_frames_and_holds_its_last(source: Media, tmp_path: Path, kit: SimpleNamespace) -> None:
    frames = [np.zeros((144, 160, 3), np.uint8) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame[:, 40 * i : 40 * i + 40] = 255
    mask = Mask(str(kit.write_video(tmp_path / "mask.mp4", frames)), source)
    columns = [round(float(weights[70].argmax())) for weights in mask.read(0, 5)]
    assert columns == pytest.approx([0, 40, 80, 80, 80], abs=1)
    assert [round(float(w[70].argmax())) for w in mask.read(2, 4)] == pytest.approx([80, 80], abs=1)
