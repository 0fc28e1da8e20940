"""The pairs dataset: two recipes of one clip, reference outside the window, stored or fresh degraded latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from project_files import FRAMES, write_project

from stages.layout import Layout
from svfr.errors import UserError
from svfr.models.folder import load_model_folder
from svfr.models.vae import encode_mean
from svfr.training.config import TrainConfig
from svfr.training.index import read_index
from svfr.training.latents import HQ, ClipLatents
from svfr.training.pairs import PairDataset

Configure = Callable[..., TrainConfig]


def _data(config: TrainConfig) -> PairDataset:
    return PairDataset(read_index(config).train, config)


def test_an_item_is_two_views_of_one_window(configure: Configure) -> None:
    data = _data(configure())
    for position in range(8):
        item = data[position]
        assert item.hq.shape == (2, 2, 4, 16, 16)
        assert item.lq.shape == (2, 2, 3, 32, 32)
        torch.testing.assert_close(item.hq[0], item.hq[1])
        assert int(item.clip[0]) == int(item.clip[1])
        assert not torch.equal(item.task[0], item.task[1])  # the project's three views have three tasks
        assert not torch.equal(item.noise[0], item.noise[1])


def test_noise_free_views_come_first_then_full_ones(configure: Configure, tmp_path: Path) -> None:
    write_project(tmp_path, views=4)
    layout = Layout(tmp_path)
    pairs = [
        pair | ({"schedule": "noise_free", "noise_sigma": 0.0} if pair["pair_id"][-1] in "01" else {})
        for pair in layout.read("pairs")
    ]
    layout.write("pairs", pairs, [])
    data = _data(TrainConfig.below(tmp_path, configure(noise_free_clips=6).params))
    seen: list[set[str]] = []
    data.view = lambda number, pairs, start, draw: seen.append({pair["schedule"] for pair in pairs})  # type: ignore
    for position in range(12):
        data[position]
    assert seen == [{"noise_free"}] * 6 + [{"full"}] * 6


def test_the_schedule_needs_views_of_both_kinds(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"0 noise-free and 3 full views.*degrade.noise_free_share"):
        _data(configure(noise_free_clips=6))


def test_items_depend_on_seed_and_position_only(configure: Configure) -> None:
    first, again, other = _data(configure()), _data(configure()), _data(configure(seed=4))
    first[0]
    for a, b in zip(vars(first[5]).values(), vars(again[5]).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first[5].noise, other[5].noise)


def test_the_reference_is_a_frame_outside_the_window(configure: Configure) -> None:
    config = configure()
    data = _data(config)
    for position in range(12):
        item = data[position]
        clip = data.clips[int(item.clip[0])]
        frames = ClipLatents.open(config.latent_shards, clip.latents).read(HQ)
        inside = [
            i for i in range(FRAMES) if torch.equal(frames[i], item.hq[0, 0]) or torch.equal(frames[i], item.hq[0, 1])
        ]
        for reference in item.reference:
            where = [i for i in range(FRAMES) if torch.equal(frames[i], reference)]
            assert len(where) == 1
            assert where[0] not in inside


def test_reference_and_identity_are_dropped_with_the_stated_probability(configure: Configure) -> None:
    keep = torch.cat([_data(configure())[p].keep for p in range(60)])
    assert set(keep.tolist()) == {0.0, 1.0}
    assert 0.35 < float(keep.mean()) < 0.65
    assert float(torch.cat([_data(configure(reference_drop=1.0))[p].keep for p in range(4)]).max()) == 0.0


def test_a_window_as_long_as_the_clip_leaves_no_reference(configure: Configure) -> None:
    assert float(_data(configure(frames=FRAMES, reference_drop=0.0))[0].keep.max()) == 0.0


def test_stored_degraded_latents_are_those_of_the_fresh_pixels(configure: Configure, tmp_path: Path) -> None:
    write_project(tmp_path, lq=True)
    fresh = configure()
    stored = TrainConfig.below(tmp_path, fresh.params)
    vae = load_model_folder(fresh.base).vae
    compared = 0
    for position in range(6):
        a, b = _data(fresh)[position], _data(stored)[position]
        for view in range(2):
            if not bool(a.task[view, 0]):  # a video codec makes a window differ from the same frames of the whole clip
                latents = encode_mean(vae, a.lq[view].float() / 127.5 - 1)
                torch.testing.assert_close(b.lq[view], latents, rtol=2e-3, atol=2e-3)
                compared += 1
    assert compared >= 3


def test_a_clip_shorter_than_the_window_is_counted_and_left_out(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"all 5 are shorter than train.frames = 7"):
        read_index(configure(frames=7))
