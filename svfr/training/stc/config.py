"""What a training run of either stage is made from, and the digest that names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from svfr.artifacts import digest_of
from svfr.models.folder import CONFIG_FILE
from svfr.params import STCNetworkParams, STCParams, STCPredictorParams, STCVqganParams
from svfr.training.config import input_digests

Stage = Literal["vqgan", "predictor"]

# These change how a run is carried out, not what it computes: a resumed run may differ in them.
_FREE = {"threads", "gpus_per_worker", "loader_workers", "keep_checkpoints", "checkpoint_every", "max_failures"}


@dataclass(frozen=True)
class STCTrainConfig:
    """One stage's parameters, its input tables and shards, the model it starts from (stage II) and its outputs."""

    stage: Stage
    network: STCNetworkParams
    params: STCVqganParams | STCPredictorParams
    clips: Path
    clip_shards: Path
    pairs: Path
    vqgan: Path  # model folder of stage I
    out: Path  # model folder that is written
    runs: Path  # every run gets a folder below it

    @classmethod
    def below(cls, root: Path, params: STCParams, stage: Stage) -> STCTrainConfig:
        """The project's usual places below `root`."""
        data, vqgan = root / "data", root / "models" / "stc-vqgan"
        return cls(
            stage,
            params.network,
            params.vqgan if stage == "vqgan" else params.predictor,
            clips=data / "clips" / "clips.parquet",
            clip_shards=data / "clips" / "shards",
            pairs=data / "pairs" / "pairs.parquet",
            vqgan=vqgan,
            out=vqgan if stage == "vqgan" else root / "models" / "stc",
            runs=root / "cache" / "train-stc",
        )

    def identity(self) -> dict[str, Any]:
        """Everything the result depends on, JSON-able: what a resumed run must agree in."""
        named = {"clips": self.clips, "pairs": self.pairs}
        if self.stage == "predictor":
            named["vqgan"] = self.vqgan / CONFIG_FILE
        return {
            "stage": self.stage,
            "network": self.network.model_dump(),
            "params": self.params.model_dump(exclude=_FREE),
            "inputs": input_digests(named),
        }

    def run_dir(self) -> Path:
        """`runs/<digest of identity()>`: the same configuration finds its checkpoints, another one never does."""
        return self.runs / digest_of(self.identity())[:16]
