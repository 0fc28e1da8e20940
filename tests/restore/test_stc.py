"""The STC family behind the engine: windows and tiles, any length and size, no seam, tasks, files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from svfr.errors import UserError
from svfr.models.stc import VQGAN, build_stc
from svfr.models.stc.folder import save_stc_folder
from svfr.restore import load_restorer, restore_video
from svfr.restore.stc_windows import WindowedSTC, legacy_stretch

SIZES = {"channels": 8, "embedding": 16, "codes": 32, "heads": 2, "layers": 1, "tokens": 16, "norm_groups": 4}


def network(variant: str = "bfvr", *, legacy: bool = False, space: int = 8) -> VQGAN:
    torch.manual_seed(0)
    return build_stc(variant, **SIZES, legacy_residual=legacy, space=space).eval()  # type: ignore[arg-type]


class Echo(VQGAN):
    """Gives back what it is shown, and keeps the sizes of it."""

    shown: list[tuple[int, ...]]

    def forward(self, video: Tensor) -> SimpleNamespace:  # type: ignore[override]
        self.shown.append(tuple(video.shape[2:]))
        return SimpleNamespace(video=video)


def echo(legacy: bool = False, space: int = 8) -> Echo:
    made = Echo(network(legacy=legacy, space=space).config)
    made.shown = []
    return made


def restored(windowed: WindowedSTC, frames: Tensor, overlap: int, piece: int = 1) -> Tensor:
    return torch.cat(list(windowed.stream(frames.split(piece), overlap)))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 20, 27])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 45), (70, 33)])
def test_every_length_and_size_comes_back_in_order(count: int, height: int, width: int) -> None:
    frames = torch.rand(count, 3, height, width) * 2 - 1
    one = echo()
    got = restored(WindowedSTC(one, 8, 32, 4), frames, 3, piece=5)
    assert torch.allclose(got, frames, atol=1e-5)
    assert all(t % 2 == 0 and t <= 8 and h % 8 == 0 and h <= 32 and w % 8 == 0 and w <= 32 for t, h, w in one.shown)


def test_finer_latents_need_less_filling(tmp_path: Path) -> None:
    frames = torch.rand(4, 3, 20, 18) * 2 - 1
    fine = echo(space=4)
    assert torch.allclose(restored(WindowedSTC(fine, 8, 32), frames, 3), frames, atol=1e-5)
    assert fine.shown == [(4, 20, 20)]
    assert save_stc_folder(tmp_path / "fine", network(space=4), window=8, trained={})["image_size"] == 16
    with pytest.raises(UserError, match="a multiple of 4 are needed"):
        WindowedSTC(fine, 8, 30)


def test_pieces_do_not_matter_and_the_legacy_network_always_sees_whole_windows() -> None:
    frames = torch.rand(21, 3, 32, 32) * 2 - 1
    windowed = WindowedSTC(network(legacy=True), 8, 32)
    assert torch.equal(restored(windowed, frames, 3, 1), restored(windowed, frames, 3, 21))
    short = echo(legacy=True)
    restored(WindowedSTC(short, 8, 32), frames[:3], 3)
    assert short.shown == [(8, 32, 32)]


def test_one_window_is_one_forward_pass() -> None:
    frames = torch.rand(8, 3, 32, 32) * 2 - 1
    one = network()
    with torch.no_grad():
        direct = one((frames.transpose(0, 1)[None] + 1) / 2).video[0].transpose(0, 1) * 2 - 1
    assert torch.allclose(restored(WindowedSTC(one, 8, 32), frames, 3), direct, atol=1e-6)


class Flawed(Echo):
    """Windows differ in brightness, and their outermost frames are wrong, as an uncausal network's are."""

    def forward(self, video: Tensor) -> SimpleNamespace:  # type: ignore[override]
        self.shown.append(tuple(video.shape[2:]))
        flawed = 0.1 + 0.8 * video + (0.03 if len(self.shown) % 2 else -0.03)
        flawed[:, :, [0, -1]] += 0.05
        return SimpleNamespace(video=flawed)


def changes(frames: Tensor, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean changes from frame to frame: at the first and last frames of windows, and everywhere else."""
    flawed = Flawed(network().config)
    flawed.shown = []
    out = restored(WindowedSTC(flawed, 24, 32), frames, overlap, piece=16)
    change = (out[1:] - out[:-1]).abs().mean((1, 2, 3)).numpy()
    starts = range(0, len(frames) - 24 + 1, 24 - overlap)
    border = [i for start in starts for i in (start - 1, start + 23) if 0 < i < len(change) - 1]
    return change[border], np.delete(change, [0, *border, len(change) - 1])  # the clip's own ends apart


@pytest.mark.parametrize("moving", [False, True])
def test_240_frames_show_no_seam(moving: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 48, generator=generator), (32, 192), mode="bicubic")
    views = torch.stack([picture[0, :, :, x * moving : x * moving + 32] for x in (min(i, 239 - i) for i in range(240))])
    grain = 0.02 * torch.randn(views.shape, generator=generator)
    frames = (0.5 * (views.clamp(0, 1) * 2 - 1) + grain).clamp(-1, 1)
    border, others = changes(frames, 8)
    assert len(border) >= 20
    assert border.max() <= others.max()
    assert border.mean() <= np.percentile(others, 75)
    hard, rest = changes(frames, 0)
    assert hard.min() > rest.mean() + 3 * rest.std()  # without blending the seams are there


def test_frames_and_overlaps_that_will_not_do_are_refused() -> None:
    windowed = WindowedSTC(network(), 8, 32)
    with pytest.raises(UserError, match="frames must lie in"):
        restored(windowed, torch.full((3, 3, 32, 32), 2.0), 3)
    with pytest.raises(UserError, match="overlap is 8 frames"):
        restored(windowed, torch.zeros(3, 3, 32, 32), 8)
    with pytest.raises(UserError, match="change size"):
        list(windowed.stream([torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 40)], 3))
    with pytest.raises(UserError, match="an even window"):
        WindowedSTC(network(), 7, 32)


def test_legacy_stretch_spans_the_whole_range_and_the_default_does_not() -> None:
    frames = torch.rand(8, 3, 32, 32) * 2 - 1
    one = network(legacy=True)
    stretched = legacy_stretch(one, frames)
    assert (float(stretched.min()), float(stretched.max())) == pytest.approx((-1, 1))
    plain = restored(WindowedSTC(one, 8, 32), frames, 3)
    assert float(plain.max() - plain.min()) < 1.9


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    for variant in ("bfvr", "deflicker", "stage1"):
        save_stc_folder(tmp_path / variant, network(variant), window=8, trained={})
    return {variant: tmp_path / variant for variant in ("bfvr", "deflicker", "stage1")}


def test_the_engine_restores_with_an_stc_folder(tmp_path: Path, models: dict[str, Path], kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(21))
    restorer = load_restorer(models["bfvr"])
    report = restore_video(source, tmp_path / "a.mp4", model=restorer, options=kit.options)
    again = restore_video(source, tmp_path / "b.mp4", model=models["bfvr"], options=kit.options)
    assert (report.status, report.frames, report.tracks) == ("restored", 21, 1)
    assert report.output_sha256 == again.output_sha256
    half = load_restorer(models["bfvr"], dtype="bfloat16")
    assert restore_video(source, tmp_path / "c.mp4", model=half, options=kit.options).status == "restored"


def test_deflicker_keeps_what_the_network_says_about_brightness(
    tmp_path: Path, models: dict[str, Path], kit: SimpleNamespace
) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.scenery(9))
    options = kit.options.model_copy(update={"tasks": ["deflicker"], "region": "frame"})
    matched = options.model_copy(update={"match_colour": False})
    reports = [
        restore_video(source, tmp_path / f"{i}.mp4", model=models["deflicker"], options=chosen)
        for i, chosen in enumerate((options, matched))
    ]
    assert reports[0].output_sha256 == reports[1].output_sha256


@pytest.mark.parametrize(
    ("variant", "task", "message"),
    [
        ("bfvr", "color", "cannot do color; it can do bfr"),
        ("deflicker", "bfr", "cannot do bfr; it can do deflicker"),
        ("stage1", "bfr", "it can do nothing"),
    ],
)
def test_other_tasks_are_refused(
    tmp_path: Path, models: dict[str, Path], kit: SimpleNamespace, variant: str, task: str, message: str
) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.scenery(3))
    with pytest.raises(UserError, match=message):
        restore_video(source, tmp_path / "out.mp4", model=models[variant], tasks=[task], options=kit.options)
    assert not (tmp_path / "out.mp4").exists()


def test_svfr_models_do_not_deflicker(tmp_path: Path, tiny_model: Path, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.scenery(3))
    with pytest.raises(UserError, match="cannot do deflicker; it can do bfr, color, inpaint"):
        restore_video(source, tmp_path / "out.mp4", model=tiny_model, tasks=["deflicker"], options=kit.options)
