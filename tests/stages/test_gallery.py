"""The gallery page: every preset, look, mask and task of one clip, inside one file."""

from __future__ import annotations

import base64
import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

sys.path.insert(0, str(Path(__file__).parent))
from eval_project import clip_row, eval_params, pair_row

from stages.gallery import described, run
from stages.layout import Layout
from stages.report import build_report
from svfr.degrade import COMBINATIONS, PRESETS, gallery_recipes, sample_recipe
from svfr.errors import UserError
from svfr.video.clip import encode_clip
from svfr.video.shards import ShardWriter

SIDE, LENGTH = 32, 6
PICTURE = re.compile(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">')


def _project(root: Path, status: str = "kept") -> Layout:
    """Two kept clips, the second of which is held out."""
    layout, rows = Layout(root), []
    face = cv2.resize(astronaut()[30:222, 130:322], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    with ShardWriter(layout.shards("clips"), "clips", 1 << 30) as writer:
        for number in range(2):
            frames = np.stack([np.roll(face, t, axis=1) for t in range(LENGTH)])
            ref = writer.add(f"c{number}", {"mp4": encode_clip(frames, Fraction(25))})
            row = clip_row(f"c{number}", ref.shard, ref.offset, ref.size)
            rows.append(row | {"n_frames": LENGTH, "status": status})
    layout.write("clips", rows, [])
    return layout


def test_one_page_shows_everything_and_loads_nothing(tmp_path: Path) -> None:
    layout = _project(tmp_path)
    layout.write("pairs", [pair_row("c0", 0, "train"), pair_row("c1", 0, "test")], [])
    run(eval_params(tmp_path), tmp_path)
    html = (layout.reports / "degradations.html").read_text(encoding="utf-8")
    assert "Held-out clip <code>c1</code>: 6 frames of 32" in html
    pictures = {alt: base64.b64decode(data) for data, alt in PICTURE.findall(html)}
    assert len(pictures) == 1 + len(list(gallery_recipes())) + len(PRESETS) * len(COMBINATIONS)
    for label, _ in gallery_recipes():
        assert label in pictures
    for preset in PRESETS:
        assert f"{preset}: bfr + color + inpaint" in pictures
    strip = cv2.imdecode(np.frombuffer(pictures["mask hands"], np.uint8), cv2.IMREAD_COLOR)
    assert strip is not None
    assert strip.shape == (SIDE, 4 * SIDE + 3, 3)
    addresses = set(re.findall(r'(?:src|href)="(?!data:image/png;base64,)([^"]*)"', html))
    assert addresses == {"#clip", "#preset", "#look", "#mask", "#task", "#every", "index.html"}
    assert {f'id="{address[1:]}"' in html for address in addresses if address.startswith("#")} == {True}


def test_colours_are_not_swapped(tmp_path: Path) -> None:
    layout = _project(tmp_path)
    run(eval_params(tmp_path), tmp_path)
    pictures = {
        alt: data for data, alt in PICTURE.findall((layout.reports / "degradations.html").read_text(encoding="utf-8"))
    }
    clean, sepia = (
        cv2.imdecode(np.frombuffer(base64.b64decode(pictures[name]), np.uint8), cv2.IMREAD_COLOR).mean((0, 1))
        for name in ("Frames of the clean clip", "look sepia")
    )
    assert sepia[2] > sepia[1] > sepia[0] + 10  # blue, green, red in OpenCV
    assert clean[2] > clean[0]  # skin


def test_the_report_links_to_the_gallery(tmp_path: Path) -> None:
    layout = _project(tmp_path)
    link = '<a href="degradations.html">'
    assert link not in build_report(layout, eval_params(tmp_path)).read_text()
    run(eval_params(tmp_path), tmp_path)
    assert link in build_report(layout, eval_params(tmp_path)).read_text()


def test_without_a_kept_clip_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clips.parquet is missing: run the stage that makes it first"):
        run(eval_params(tmp_path), tmp_path)
    _project(tmp_path, status="rejected")
    with pytest.raises(UserError, match="has no kept clip to show"):
        run(eval_params(tmp_path), tmp_path)


def test_only_what_acts_is_described() -> None:
    iso = next(r for r in (sample_recipe("gfpgan", seed, {"bfr"}) for seed in range(50)) if r.blur_kind == "iso")
    assert {"blur_kind", "blur_size", "blur_sigma_x", "scale", "jpeg_quality"} <= described(iso).keys()
    assert not {"blur_sigma_y", "blur_theta", "codec_crf", "mask_period", "preset"} & described(iso).keys()
    call = sample_recipe("video_call", 0, {"bfr"})
    assert "codec_bpp" in described(call)
    assert "codec_crf" not in described(call)
    assert "codec_crf" in described(replace(call, codec_bpp=0.0))
    assert described(sample_recipe("stc", 0, {"color"})) == {"look": "grey"}
