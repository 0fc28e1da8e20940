"""Stage 5: what training needs of every clip, computed once: clean latents, identity map, on request degraded latents.

Keyed by clip, VAE and pair rows, so a new clip or a new recipe costs only itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.actor import Item, Result, Worker, clip_fingerprint
from stages.engine import Outcome, map_items
from stages.entry import main, require_rows
from stages.layout import Layout
from svfr.degrade import Recipe, apply_recipe
from svfr.errors import ItemError
from svfr.faces.identity_crop import identity_crop
from svfr.models.folder import ModelBundle, load_model_folder, read_model_config
from svfr.models.identity_map import embedding_map
from svfr.models.vae import encode_mean, spatial_factor
from svfr.params import Params
from svfr.tables import Row, check_accounted
from svfr.training.latents import HQ, IDENTITY, lq_name, pack_latents
from svfr.video.clip import decode_clip
from svfr.video.shards import ShardWriter, read_member

STAGE, VERSION = "encode", "1"
IDENTITY_FRAMES = 4  # frames whose ArcFace map is kept, spread over the clip


def run(params: Params, root: Path) -> None:
    """Writes `data/latents/`. Raises `UserError` if its inputs are missing or nothing could be encoded."""
    layout = Layout(root)
    model = read_model_config(layout.base_model)
    pairs = layout.read("pairs")
    wanted = {pair["clip_id"] for pair in pairs}
    clips = {row["clip_id"]: row for row in layout.read("clips") if row["clip_id"] in wanted}
    views = [pair for pair in pairs if params.encode.lq and pair["split"] in ("train", "val")]
    items = [_item(clip, [v for v in views if v["clip_id"] == clip_id], model) for clip_id, clip in clips.items()]
    outcome = map_items(
        STAGE,
        Encoder(
            layout.base_model.resolve(), layout.shards("clips").resolve(), params.encode.chunk, params.engine.threads
        ),
        items,
        version=VERSION,
        params={},
        engine=params.engine,
    )
    rows = _store(outcome, layout.shards("latents"), params.encode.shard_bytes)
    check_accounted(STAGE, sorted(wanted), [r["clip_id"] for r in rows], [r["item_id"] for r in outcome.failed])
    layout.write("latents", rows, outcome.failed)
    require_rows(STAGE, rows, outcome.failed, layout.rejects("latents"))


def _item(clip: Row, views: list[Row], model: dict[str, Any]) -> Item:
    digests = {k: v for k, v in model["digests"].items() if k in ("vae.safetensors", "arcface.safetensors")}
    key = clip_fingerprint(clip, "n_frames", "identity", "points5")
    fingerprint = {"clip": key, "model": digests, "identity": model["identity"]["backend"], "views": views}
    return Item(clip["clip_id"], fingerprint, {"clip": clip, "views": views})


def _store(outcome: Outcome, folder: Path, shard_bytes: int) -> list[Row]:
    """Packs the results into shards in order of clip id; returns the rows of the `latents` table."""
    rows = []
    with ShardWriter(folder, "latents", shard_bytes) as writer:
        for clip_id, result in outcome:
            ref = writer.add(clip_id, {"safetensors": result.files["latents.safetensors"]})
            rows.append({**result.rows[0], "shard": ref.shard, "offset": ref.offset, "size": ref.size})
    return rows


class Encoder:
    """Makes the worker inside its process; the model is loaded once for all of its clips."""

    def __init__(self, base: Path, clip_shards: Path, chunk: int, threads: int) -> None:
        self.base, self.clip_shards, self.chunk, self.threads = base, clip_shards, chunk, threads

    def __call__(self) -> Worker:
        torch.set_num_threads(self.threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        bundle = load_model_folder(self.base, device)
        digest = bundle.config["digests"]["vae.safetensors"]

        def work(payload: dict[str, Any]) -> Result:
            clip = payload["clip"]
            frames = decode_clip(read_member(self.clip_shards, clip["shard"], clip["offset"], clip["size"]))
            tensors = encode_views(bundle, clip, frames, payload["views"], self.chunk)
            row = {"clip_id": clip["clip_id"], "vae_sha256": digest, "n_frames": len(frames)}
            return Result(rows=[row], files={"latents.safetensors": pack_latents(tensors)})

        return work


def encode_views(
    bundle: ModelBundle, clip: Row, frames_THWC: NDArray[np.uint8], views: list[Row], chunk: int
) -> dict[str, Tensor]:
    """The entries of `svfr.training.latents` for one decoded clip. Raises `ItemError` for what cannot be encoded."""
    if len(frames_THWC) != clip["n_frames"]:
        raise ItemError("unreadable", f"the stored clip has {len(frames_THWC)} frames, its row says {clip['n_frames']}")
    factor = spatial_factor(bundle.vae)
    height, width = frames_THWC.shape[1:3]
    if height % factor or width % factor:
        raise ItemError("bad_size", f"frames of {width} x {height} pixels: sides must be multiples of {factor}")
    tensors = {HQ: _latents(bundle, frames_THWC, chunk), IDENTITY: _identity(bundle, clip, frames_THWC)}
    for pair in views:
        degraded = apply_recipe(frames_THWC, Recipe.from_row(pair))
        tensors[lq_name(pair["pair_id"])] = _latents(bundle, degraded, chunk).half()
    return tensors


def _latents(bundle: ModelBundle, frames_THWC: NDArray[np.uint8], chunk: int) -> Tensor:
    return encode_mean(bundle.vae, _signed(frames_THWC), chunk).cpu()


def _signed(frames_THWC: NDArray[np.uint8]) -> Tensor:
    """uint8 (T,H,W,3) -> float (T,3,H,W) in [-1,1]."""
    return torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _identity(bundle: ModelBundle, clip: Row, frames_THWC: NDArray[np.uint8]) -> Tensor:
    """Identity maps (K,C,7,7): ArcFace's of K frames with five points, or the clip's embedding spread out (K = 1)."""
    if bundle.arcface is None:
        if not clip["identity"]:
            raise ItemError("no_identity", "the clip has no identity embedding: run the faces stage again")
        return embedding_map(torch.tensor(clip["identity"]))[None]
    known = [i for i, points in enumerate(clip["points5"] or []) if points and len(points) == 10]
    if not known:
        raise ItemError("no_points", "the clip has no 5-point landmarks, which the identity crop needs")
    chosen = [known[i] for i in np.linspace(0, len(known) - 1, min(IDENTITY_FRAMES, len(known))).round().astype(int)]
    scale = np.array([frames_THWC.shape[2], frames_THWC.shape[1]])
    crops = [
        identity_crop(frame, np.array(clip["points5"][i]).reshape(5, 2) * scale)
        for i, frame in zip(chosen, _signed(frames_THWC[chosen]), strict=True)
    ]
    with torch.no_grad():
        return bundle.arcface.feature_map(torch.stack(crops).to(bundle.vae.device)).float().cpu()


if __name__ == "__main__":
    main(run)
