"""Writes a whole small project: clips, pairs, latents and a base model, through the project's own code."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import safe_open

from stages.encode import encode_views
from stages.layout import Layout
from svfr.degrade import sample_recipe
from svfr.models.folder import ModelBundle, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae
from svfr.tables import CLIPS, pairs_schema
from svfr.training.latents import pack_latents
from svfr.video.clip import decode_clip, encode_clip
from svfr.video.shards import ShardWriter, read_member

SIZE, FRAMES = 32, 6
UNET = {
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    "block_out_channels": [32, 32],
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24,
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "num_attention_heads": [2, 2],
}
VAE = {"block_out_channels": [32, 32], "down_block_types": ["DownEncoderBlock2D"] * 2, "layers_per_block": 1}


def write_project(root: Path, clips: int = 4, views: int = 3, *, lq: bool = False) -> None:
    """`clips` training clips and one validation clip; `lq` stores degraded latents too."""
    layout = Layout(root)
    bundle = write_base(layout.base_model)
    rows, pairs = [], []
    with ShardWriter(layout.shards("clips"), "clips", 1 << 30) as writer:
        for number in range(clips + 1):
            data = encode_clip(moving_picture(number), Fraction(25))
            ref = writer.add(f"c{number}", {"mp4": data})
            rows.append(clip_row(f"c{number}", ref.shard, ref.offset, ref.size))
            split = "train" if number < clips else "val"
            pairs += [pair_row(f"c{number}", view, split) for view in range(views)]
    layout.write("clips", rows, [])
    layout.write("pairs", pairs, [])
    write_latents(layout, bundle, pairs if lq else [])


def write_base(folder: Path) -> ModelBundle:
    """A random model folder; the U-Net's output layer is not zero, so all its gradients count."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = {"unet": UNET, "vae": VAE, "identity": {"backend": "dlib"}, "image_size": SIZE}
        bundle = ModelBundle(build_unet(UNET), build_vae(VAE), IdentityProjection(8, 16), config)
    config = save_model_folder(folder, bundle)
    bundle.config = config
    return bundle


def write_latents(layout: Layout, bundle: ModelBundle, views: list[dict[str, Any]]) -> None:
    """Does for every clip what the encode stage does, without its worker processes."""
    rows = []
    with ShardWriter(layout.shards("latents"), "latents", 1 << 30) as writer:
        for clip in layout.read("clips"):
            frames = decode_clip(read_member(layout.shards("clips"), clip["shard"], clip["offset"], clip["size"]))
            own = [view for view in views if view["clip_id"] == clip["clip_id"]]
            data = pack_latents(encode_views(bundle, clip, frames, own, 8))
            ref = writer.add(clip["clip_id"], {"safetensors": data})
            row = {"clip_id": clip["clip_id"], "vae_sha256": bundle.config["digests"]["vae.safetensors"]}
            rows.append(row | {"n_frames": len(frames), "shard": ref.shard, "offset": ref.offset, "size": ref.size})
    layout.write("latents", rows, [])


def saved_tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, whole: the parts of sharded ones are joined along their first dimension."""
    parts: dict[str, list[tuple[list[int], torch.Tensor]]] = {}
    for file in checkpoint.glob("*.safetensors"):
        with safe_open(file, "pt") as shard:
            where = json.loads(shard.metadata()["DCP_SHARDING_INFO"])
            for name in shard.keys():  # noqa: SIM118
                parts.setdefault(name, []).append((where[name]["saved_offsets"], shard.get_tensor(name)))
    return {
        name: torch.cat([t for _, t in sorted(found, key=lambda p: p[0])]) if len(found) > 1 else found[0][1]
        for name, found in parts.items()
    }


def moving_picture(number: int, frames: int = FRAMES) -> np.ndarray:
    """Smooth colour waves that move, of another kind for every number."""
    draw = np.random.default_rng(number)
    t, y, x = np.mgrid[0:frames, 0:SIZE, 0:SIZE] / SIZE
    waves = [np.sin(2 * np.pi * (a * x + b * y + 3 * t) + c) for a, b, c in draw.uniform(0.5, 3, (3, 3))]
    return ((np.stack(waves, -1) * 0.4 + 0.5) * 255).round().astype(np.uint8)


def empty_row(schema: pa.Schema) -> dict[str, Any]:
    """A row with an empty text, an empty list or a 0 in every column."""
    kinds = ((pa.types.is_string, ""), (pa.types.is_list, []))
    return {f.name: next((value for is_kind, value in kinds if is_kind(f.type)), 0) for f in schema}


def clip_row(clip_id: str, shard: str, offset: int, size: int) -> dict[str, Any]:
    """A row of `clips` with every column; landmarks differ from clip to clip and frame to frame."""
    draw = np.random.default_rng(int(clip_id[1:]))
    row: dict[str, Any] = empty_row(CLIPS)
    points = [[float(v) for v in draw.uniform(0.3, 0.7, 136)] for _ in range(FRAMES)]
    row |= {"clip_id": clip_id, "shard": shard, "offset": offset, "size": size, "n_frames": FRAMES, "status": "kept"}
    row |= {"points68": points, "points5": [p[:10] for p in points], "identity": draw.normal(size=8).tolist()}
    return row


def pair_row(clip_id: str, view: int, split: str) -> dict[str, Any]:
    """A row of `pairs`: blind restoration, then colour, then inpainting."""
    task = {("bfr", "color", "inpaint")[view % 3]}
    recipe = sample_recipe("stc", 100 * int(clip_id[1:]) + view, task)
    row = recipe.to_row()
    row |= {"pair_id": f"{clip_id}-{view}", "clip_id": clip_id, "identity_id": clip_id, "split": split}
    row |= {bit: bit in task for bit in ("bfr", "color", "inpaint")}
    return {name: row[name] for name in pairs_schema().names}
