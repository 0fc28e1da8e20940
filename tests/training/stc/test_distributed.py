"""Two ranks with one clip each see what one rank with two clips sees, in both stages, the critic included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from svfr.params import STCParams, load_params
from svfr.training.history import Row, read_history
from svfr.training.stc.config import STCTrainConfig


@pytest.mark.slow
def test_two_ranks_equal_one(stc: Callable[..., STCTrainConfig], project: Path, tmp_path: Path) -> None:
    common = {"steps": 3, "batch_clips": 2}
    vqgan = stc("vqgan", **common, adversarial="patch", adversarial_from=1)
    params = STCParams(network=vqgan.network, vqgan=vqgan.params, predictor=stc("predictor", **common).params)  # type: ignore[arg-type]
    one = _run(project, tmp_path / "one", params, 1)
    two = _run(project, tmp_path / "two", params, 2)
    assert len(one) == 6
    for alone, shared in zip(one, two, strict=True):
        assert alone["loss"] == pytest.approx(shared["loss"], rel=0.02)
        assert alone["grad_norm"] == pytest.approx(shared["grad_norm"], rel=0.02)


def _run(project: Path, folder: Path, params: STCParams, ranks: int) -> list[Row]:
    """Figures of both stages, trained one after the other by `ranks` processes."""
    shutil.copytree(project / "data", folder / "data")
    names = ("engine", "download", "faces", "score", "degrade", "base", "encode", "train", "evaluate", "register")
    sections: dict[str, Any] = {name: {} for name in (*names, "restore")}
    sections["stc"] = params.model_dump()
    (folder / "params.yaml").write_text(yaml.safe_dump(sections))
    rows: list[Row] = []
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    for stage in ("vqgan", "predictor"):
        command = [sys.executable, *launcher, "-m", "svfr.training.stc.launch", stage]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
        subprocess.run(command, cwd=folder, env=environment, check=True, timeout=280)
        loaded = load_params(folder / "params.yaml").stc
        rows += read_history(STCTrainConfig.below(folder, loaded, stage).run_dir())  # type: ignore[arg-type]
    return rows
