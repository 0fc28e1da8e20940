"""The encode stage on a small project: latents of every clip that a pair names, computed once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from project_files import FRAMES, clip_row, moving_picture, pair_row, write_project

from stages import encode
from stages.layout import Layout
from svfr.artifacts import sha256_bytes
from svfr.models.folder import load_model_folder
from svfr.models.vae import encode_mean
from svfr.params import Params, load_params
from svfr.tables import read_table
from svfr.training.latents import HQ, IDENTITY, ClipLatents, lq_name
from svfr.video.clip import decode_clip, encode_clip
from svfr.video.shards import ShardWriter, read_member

SECTIONS = ("download", "faces", "score", "degrade", "base", "train", "evaluate", "register", "restore")


@pytest.fixture(scope="module")
def _ray() -> Iterator[None]:
    yield
    import ray

    ray.shutdown()


def _params(root: Path, lq: bool) -> Params:
    sections = {name: {} for name in SECTIONS} | {"encode": {"lq": lq}}
    sections |= {"engine": {"workers": 1, "cache": str(root / "cache" / "items")}}
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    return load_params(root / "params.yaml")


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_encode_stores_clean_and_degraded_latents_and_counts_everything(tmp_path: Path) -> None:
    write_project(tmp_path, clips=2)
    layout = Layout(tmp_path)
    lost = clip_row("c9", "clips-000000.tar", 0, 10)
    layout.write("clips", [*layout.read("clips"), lost], [])
    layout.write("pairs", [*layout.read("pairs"), pair_row("c9", 0, "train")], [])
    encode.run(_params(tmp_path, lq=True), tmp_path)

    rejects = read_table(layout.rejects("latents"), "rejects")
    assert [(row["item_id"], row["reason"]) for row in rejects] == [("c9", "unreadable")]
    rows = {row["clip_id"]: row for row in layout.read("latents")}
    assert set(rows) == {"c0", "c1", "c2"}

    clip = next(row for row in layout.read("clips") if row["clip_id"] == "c1")
    frames = decode_clip(read_member(layout.shards("clips"), clip["shard"], clip["offset"], clip["size"]))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = encode_mean(load_model_folder(layout.base_model).vae, pixels)
    stored = ClipLatents.open(layout.shards("latents"), rows["c1"])
    torch.testing.assert_close(stored.read(HQ), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(stored.read(HQ, 2, 3), stored.read(HQ)[2:5], rtol=0, atol=0)
    assert stored.read(IDENTITY).shape == (1, 8, 7, 7)
    assert stored.read(lq_name("c1-1")).shape == (FRAMES, 4, 16, 16)

    before = stored.read(HQ)
    first = layout.table("latents").read_bytes(), next(layout.shards("latents").iterdir()).read_bytes()
    encode.run(_params(tmp_path, lq=True), tmp_path)
    assert (layout.table("latents").read_bytes(), next(layout.shards("latents").iterdir()).read_bytes()) == first

    again = encode_clip(moving_picture(1), Fraction(25), crf=40)  # the same clip, stored at another quality
    with ShardWriter(layout.shards("clips"), "again", 1 << 30) as writer:
        change = {**vars(writer.add("c1", {"mp4": again})), "sha256": sha256_bytes(again)}
    layout.write("clips", [row | (change if row["clip_id"] == "c1" else {}) for row in layout.read("clips")], [])
    encode.run(_params(tmp_path, lq=True), tmp_path)
    rows = {row["clip_id"]: row for row in layout.read("latents")}
    assert not torch.equal(ClipLatents.open(layout.shards("latents"), rows["c1"]).read(HQ), before)
