"""What a training run is made from, and the digest that names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svfr.artifacts import digest_of, sha256_file
from svfr.errors import UserError
from svfr.models.folder import CONFIG_FILE
from svfr.params import TrainParams

# These change how a run is carried out, not what it computes: a resumed run may differ in them.
_FREE = {
    "workers",
    "threads",
    "gpus_per_worker",
    "loader_workers",
    "prefetch",
    "peak_tflops",
    "strategy",
    "preview_steps",
    "keep_checkpoints",
    "checkpoint_every",
    "max_failures",
    "gradient_checkpointing",
}


@dataclass(frozen=True)
class TrainConfig:
    """Parameters, inputs (three tables, two shard folders, the model to start from) and the output folder."""

    params: TrainParams
    clips: Path
    clip_shards: Path
    pairs: Path
    latents: Path
    latent_shards: Path
    base: Path
    runs: Path  # every run gets a folder below it

    @classmethod
    def below(cls, root: Path, params: TrainParams) -> TrainConfig:
        """The project's usual places below `root`."""
        data = root / "data"
        return cls(
            params,
            clips=data / "clips" / "clips.parquet",
            clip_shards=data / "clips" / "shards",
            pairs=data / "pairs" / "pairs.parquet",
            latents=data / "latents" / "latents.parquet",
            latent_shards=data / "latents" / "shards",
            base=root / "models" / "base",
            runs=root / "cache" / "train",
        )

    def identity(self) -> dict[str, Any]:
        """Everything the result depends on, JSON-able: what a resumed run must agree in."""
        named = {"base": self.base / CONFIG_FILE, "clips": self.clips, "pairs": self.pairs, "latents": self.latents}
        return {"params": self.params.model_dump(exclude=_FREE), "inputs": input_digests(named)}

    def run_dir(self) -> Path:
        """`runs/<digest of identity()>`: the same configuration finds its checkpoints, another one never does."""
        return self.runs / digest_of(self.identity())[:16]


def input_digests(named: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of every input by name. Raises `UserError` naming those that are missing."""
    missing = [str(path) for path in named.values() if not path.is_file()]
    if missing:
        raise UserError(f"training needs {', '.join(missing)}: run the stages that make them first (dvc repro)")
    return {name: sha256_file(path) for name, path in named.items()}
