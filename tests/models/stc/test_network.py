"""The networks against a plain second implementation, at other batch sizes, lengths and sizes; gradients; dtypes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from svfr.errors import UserError
from svfr.models.loading import shapes_of
from svfr.models.stc import build_stc
from svfr.models.stc.attention import attend
from svfr.models.stc.lookup import positions
from svfr.models.stc.quantiser import memory_order_residual, motion_residual

reference = runpy.run_path(str(Path(__file__).with_name("reference.py")))


@pytest.mark.parametrize("variant", ["bfvr", "deflicker"])
@pytest.mark.parametrize(("batch", "frames", "size"), [(1, 2, (32, 32)), (2, 6, (32, 32)), (2, 4, (16, 64))])
@pytest.mark.parametrize("legacy", [True, False])
def test_stage_two_agrees_with_a_second_implementation(
    tiny: Any, values: Any, variant: Any, batch: int, frames: int, size: tuple[int, int], legacy: bool
) -> None:
    network = build_stc(variant, **tiny, legacy_residual=legacy)
    state = values(shapes_of(network), 5)
    network.load_official(state)
    video = torch.rand(batch, 3, frames, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out = network(video)
        z = network.encode(video)
        residual = reference["memory_order_residual"](z) if legacy else torch.cat([z[:, :, :1] * 0, z.diff(dim=2)], 2)
        query = reference["temporal_attention"](z, state, 16) + residual
        idx_s = reference["indices"](z, state, "s", 2, 2)
        idx_t = reference["indices"](query, state, "t", 2, 2)
    assert out.video.shape == video.shape
    assert torch.equal(out.idx_s, idx_s)
    assert torch.equal(out.idx_t, idx_t)


def test_attention_blocks_agree_with_full_matrices(tiny: Any, values: Any) -> None:
    network = build_stc("stage1", **tiny)
    state = values(shapes_of(network), 6)
    network.load_official(state)
    z = torch.randn(2, 64, 3, 4, 4)
    with torch.no_grad():
        mine = network.encoder.blocks[11](z)
        assert torch.allclose(mine, reference["block_attention"](z, state, "encoder.blocks.11", 32), atol=1e-5)
        z = torch.randn(2, 16, 3, 4, 4)
        assert torch.allclose(network.quantize.SA(z), reference["temporal_attention"](z, state, 16), atol=1e-5)


def test_stage_one_takes_the_nearest_codes_item_by_item(tiny: Any, values: Any) -> None:
    network = build_stc("stage1", **tiny)
    network.load_official(values(shapes_of(network), 7))
    video = torch.rand(2, 3, 4, 16, 24)
    with torch.no_grad():
        both, alone = network(video), network(video[1:])
        z = network.encode(video)
        rows = z.permute(0, 2, 3, 4, 1).reshape(-1, 16)
        nearest = torch.cdist(rows[None], network.quantize.embedding_s.weight[None])[0].argmin(1)
    assert torch.equal(both.idx_s.flatten(), nearest)
    assert both.idx_s.shape == (4, 6)
    assert torch.equal(both.idx_s[2:], alone.idx_s)
    assert torch.equal(both.idx_t[2:], alone.idx_t)
    assert torch.allclose(both.video[1:], alone.video, atol=1e-5)


def test_memory_order_residual_is_the_written_definition() -> None:
    z = torch.randn(2, 3, 4, 2, 2)
    residual = memory_order_residual(z)
    assert torch.equal(residual, reference["memory_order_residual"](z))
    assert not residual[:, :, 0].any()
    assert not torch.allclose(residual, motion_residual(z))


def test_motion_residual_is_the_difference_to_the_frame_before() -> None:
    z = torch.randn(1, 2, 3, 1, 1)
    residual = motion_residual(z)
    assert not residual[:, :, 0].any()
    assert torch.equal(residual[:, :, 2], z[:, :, 2] - z[:, :, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [8, 128, 256])
def test_attention_runs_a_fused_kernel_in_both_directions(dtype: torch.dtype, width: int) -> None:
    q = torch.randn(2, 1, width, 48, dtype=dtype).transpose(2, 3).requires_grad_()  # channels not contiguous
    with torch.profiler.profile() as profile:
        attend(q, q, q).sum().backward()
    called = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in called
    assert not called & {"aten::bmm", "aten::softmax", "aten::_softmax"}


def test_gradient_of_stage_one_reaches_encoder_and_decoder(tiny: Any) -> None:
    network = build_stc("stage1", **tiny)
    network(torch.rand(1, 3, 4, 16, 16)).video.square().mean().backward()
    for part in (network.encoder.blocks[0], network.generator.blocks[0]):
        assert part.weight.grad is not None
        assert part.weight.grad.abs().sum() > 0


def test_half_precision_gives_nearly_the_same_video(tiny: Any) -> None:
    torch.manual_seed(0)
    network = build_stc("stage1", **tiny).eval()
    video = torch.rand(1, 3, 4, 16, 16)
    with torch.no_grad():
        full = network(video).video
        half = network.to(torch.bfloat16)(video).video
    assert half.dtype == torch.float32
    assert float((full - half).abs().mean()) < 0.05


def test_position_embeddings_are_resized_for_other_sizes(tiny: Any) -> None:
    network = build_stc("bfvr", **tiny)
    assert network(torch.rand(1, 3, 2, 24, 48)).video.shape == (1, 3, 2, 24, 48)
    table = torch.arange(16.0)[:, None].expand(16, 3)
    assert positions(table, 2, 8) is table
    resized = positions(table, 8, 8)
    assert resized.shape == (64, 3)
    assert resized[0, 0] < resized[-1, 0]
    with pytest.raises(UserError, match="no square"):
        positions(torch.zeros(15, 3), 4, 4)


@pytest.mark.parametrize("space", [8, 4, 2])
def test_latents_may_be_finer_with_the_same_tensors(tiny: Any, space: int) -> None:
    network = build_stc("bfvr", **tiny, space=space)
    video = torch.rand(1, 3, 4, 16, 24)
    assert network.encode(video).shape == (1, 16, 2, 16 // space, 24 // space)
    out = network(video)
    assert out.video.shape == video.shape
    assert out.idx_s.shape == (2, 16 * 24 // space**2)
    assert shapes_of(network) == shapes_of(build_stc("bfvr", **tiny))
    with pytest.raises(UserError, match=f"both sides multiples of {space}:"):
        network(torch.rand(1, 3, 2, 16, 17))


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.rand(1, 3, 3, 32, 32), "3 frames of 32 x 32 pixels: the number of frames must be even"),
        (torch.rand(1, 3, 2, 30, 32), "both sides multiples of 8"),
        (torch.rand(1, 3, 2, 32, 36), "36 x 32 pixels"),
        (torch.rand(3, 2, 32, 32), "needed, got"),
        (torch.rand(1, 1, 2, 32, 32), "needed, got"),
        (torch.rand(1, 3, 0, 32, 32), "needed, got"),
        (torch.zeros(1, 3, 2, 32, 32, dtype=torch.uint8), "floating point"),
    ],
)
@pytest.mark.parametrize("variant", ["bfvr", "stage1"])
def test_bad_videos_are_refused_in_one_line(tiny: Any, variant: Any, video: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_stc(variant, **tiny)(video)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variant", "sizes", "message"),
    [
        ("bfr", {}, "unknown STC variant 'bfr'"),
        ("bfvr", {"heads": 3}, "3 heads do not divide"),
        ("bfvr", {"tokens": 0}, "tokens is 0"),
        ("bfvr", {"space": 16}, "space is 16: a latent has 8 or 4 or 2 pixels a side"),
        ("bfvr", {"width": 3}, "unknown size width"),
    ],
)
def test_bad_configurations_are_refused(variant: Any, sizes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_stc(variant, **sizes)
