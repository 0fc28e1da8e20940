"""The model folder that training starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages import base
from stages.layout import Layout
from svfr.artifacts import sha256_file
from svfr.errors import UserError
from svfr.models.folder import load_model_folder
from svfr.params import Params, load_params


@pytest.fixture
def params() -> Params:
    return load_params(Path(__file__).parents[2] / "params.yaml")


def _digests(root: Path) -> dict[str, str]:
    folder = Layout(root).base_model
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in folder.rglob("*") if p.is_file()}


def test_the_small_model_is_the_same_every_time_and_loads(params: Params, tmp_path: Path) -> None:
    for name in ("a", "b"):
        base.run(params, tmp_path / name)
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")
    bundle = load_model_folder(Layout(tmp_path / "a").base_model)
    assert bundle.unet.config["in_channels"] == 12
    assert bundle.config["image_size"] == params.faces.size


def test_missing_weights_of_the_full_model_are_named(params: Params, tmp_path: Path) -> None:
    full = params.base.model_copy(update={"kind": "svd-xt", "svd_folder": str(tmp_path / "svd")})
    with pytest.raises(UserError, match=r"svd/unet/config\.json is missing: set base\.svd_folder"):
        base.run(params.model_copy(update={"base": full}), tmp_path)
    assert not Layout(tmp_path).base_model.exists()
