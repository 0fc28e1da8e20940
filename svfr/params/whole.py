"""The whole of `params.yaml`, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from svfr.errors import UserError
from svfr.params.data import DegradeParams, DownloadParams, EngineParams, FaceParams, ScoreParams
from svfr.params.section import Section
from svfr.params.stc import STCParams
from svfr.params.train import BaseParams, EncodeParams, TrainParams
from svfr.params.use import EvaluateParams, RegisterParams, RestoreParams


class Params(Section):
    """The whole of `params.yaml`."""

    engine: EngineParams
    download: DownloadParams
    faces: FaceParams
    score: ScoreParams
    degrade: DegradeParams
    base: BaseParams
    encode: EncodeParams
    train: TrainParams
    evaluate: EvaluateParams
    register_: RegisterParams = Field(alias="register")
    restore: RestoreParams
    stc: STCParams = STCParams()


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks `path`. Raises `UserError` naming the first bad key, the reason and what is allowed."""
    if not path.exists():
        raise UserError(f"{path} is missing: run from the project's root or name the file with --params")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the top level"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        owner: Any = Params
        for part in first["loc"][:-1]:
            owner = next(field.annotation for name, field in _fields(owner) if name == part)
        known = ", ".join(sorted(name for name, _ in _fields(owner)))
        return f"unknown key '{place}'; known keys here: {known}{more}"
    if first["type"] == "missing":
        return f"'{place}' is missing{more}"
    return f"'{place}': {first['msg']}, got {first['input']!r}{more}"


def _fields(section: type[Section]) -> list[tuple[str, FieldInfo]]:
    """The keys of a section as they are written in the file."""
    return [(field.alias or name, field) for name, field in section.model_fields.items()]
