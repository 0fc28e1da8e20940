"""A whole small project on disk: clips, pairs, latents and a base model, made by the project's own code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from project_files import write_project

from svfr.params import TrainParams
from svfr.training.config import TrainConfig

SMALL = TrainParams(
    steps=4,
    batch_clips=2,
    frames=2,
    lr=1e-3,
    warmup=2,
    ulr_dim=16,
    ulr_depth=1,
    checkpoint_every=100,
    validate_every=100,
    validation_pairs=2,
    workers=1,
    seed=3,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder; tests only read it and train into folders of their own."""
    root = tmp_path_factory.mktemp("project")
    write_project(root)
    return root


@pytest.fixture
def configure(project: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """`configure(**params)`: a configuration on the project, its runs below `tmp_path`."""

    def make(**changes: object) -> TrainConfig:
        below = TrainConfig.below(project, SMALL.model_copy(update=changes))
        return TrainConfig(**{**vars(below), "runs": tmp_path / "runs"})

    return make
