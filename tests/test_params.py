"""params.yaml: the committed files load, and every mistake is one line that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from svfr.errors import UserError
from svfr.params import Params, load_params

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "infra" / "profiles").glob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_committed_parameters_load(path: Path) -> None:
    params = load_params(path)
    assert set(yaml.safe_load(path.read_text())) == {field.alias or n for n, field in Params.model_fields.items()}
    with pytest.raises(ValueError, match="frozen"):
        params.faces.size = 3  # type: ignore[misc]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_parameter_that_a_stage_depends_on_is_written_down(path: Path) -> None:
    """DVC takes values from the file alone, and refuses a stage whose parameters are left to their defaults."""
    held = yaml.safe_load(path.read_text())
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name in (name for stage in stages.values() for name in stage.get("params", [])):
        value = held
        for key in name.split("."):
            assert key in value, name
            value = value[key]


def _refusal(tmp_path: Path, change: dict[str, Any] | None = None, text: str | bytes | None = None) -> str:
    sections = yaml.safe_load(FILES[0].read_text())
    for place, value in (change or {}).items():
        *folders, key = place.split(".")
        target = sections
        for folder in folders:
            target = target[folder]
        if value is ...:
            del target[key]
        else:
            target[key] = value
    path = tmp_path / "params.yaml"
    data = yaml.safe_dump(sections) if text is None else text
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(UserError) as caught:
        load_params(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_an_unknown_key_is_named_beside_the_known_ones(tmp_path: Path) -> None:
    assert ": unknown key 'trian'; known keys here: base, degrade, " in _refusal(tmp_path, {"trian": {}})
    assert "register, restore" in _refusal(tmp_path, {"trian": {}})
    assert "unknown key 'faces.min_scor'; known keys here: alpha_max, " in _refusal(tmp_path, {"faces.min_scor": 1})
    message = _refusal(tmp_path, {"base.identity.chanels": 1})
    assert "unknown key 'base.identity.chanels'; known keys here: backend, channels" in message
    message = _refusal(tmp_path, {"register.names": "x"})
    assert "unknown key 'register.names'; known keys here: experiment, metric, name" in message
    assert "(and 1 more)" in _refusal(tmp_path, {"faces.min_scor": 1, "train.stepps": 1})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"faces.size": "large"}, "'faces.size': Input should be a valid integer"),
        ({"faces.size": 1}, "'faces.size': Input should be greater than or equal to 16, got 1"),
        ({"train.lr": float("nan")}, "'train.lr': Input should be a finite number"),
        ({"faces.detector": "sdf"}, "'faces.detector': Input should be 'mtcnn', 'dlib_hog'"),
        ({"degrade.presets": "vhs"}, "'degrade.presets': Input should be a valid list, got 'vhs'"),
        ({"restore.tasks": []}, "'restore.tasks': List should have at least 1 item"),
        ({"score": ["piqe"]}, "'score': "),
        ({"score": ...}, "'score' is missing"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    assert f": {named}" in _refusal(tmp_path, change)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("faces: {size: 3", "is not valid YAML"),
        ("a: 1\n\tb: 2", "is not valid YAML"),
        (b"name: caf\xe9", "is not valid YAML"),
        ("", "'the top level': Input should be a valid dictionary"),
        ("- 1", "'the top level': Input should be a valid dictionary"),
    ],
)
def test_a_file_that_is_no_mapping_is_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in _refusal(tmp_path, text=text)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params.yaml is missing: run from the project's root"):
        load_params(tmp_path / "params.yaml")
