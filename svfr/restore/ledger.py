"""From what an output was made: the record beside it by which a second run knows that it is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from svfr.artifacts import digest_of, sha256_bytes, sha256_file, write_json
from svfr.errors import ItemError, UserError
from svfr.params import RestoreOptions
from svfr.restore.names import PICTURES, parse_reference

VERSION = "2"  # changes when the engine's code changes what it writes


def model_digest(folder: Path) -> str:
    """SHA-256 of `model.json`, which holds the digests of the weights. `UserError` if the folder is no model."""
    path = Path(folder) / "model.json"
    if path.is_file():
        return sha256_file(path)
    if str(folder).startswith("models:"):
        raise UserError(
            f"{folder} is an address of the registry: python -m stages.restore --model ADDRESS --input IN --output OUT "
            "restores with it; this command takes a model folder"
        )
    if any((*Path(folder).glob("unet.pth"), *Path(folder).glob("*/unet.pth"))):
        raise UserError(
            f"{folder} holds the released checkpoints: make a model folder of them once, with svfr weights import"
        )
    raise UserError(f"{folder} is no model folder: model.json is missing; give --model FOLDER")


def model_config(folder: Path) -> dict[str, Any]:
    """The contents of `model.json`. `UserError` if the folder is no model or the file is damaged."""
    model_digest(folder)
    try:
        config: dict[str, Any] = json.loads((Path(folder) / "model.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{folder}/model.json is damaged: {error}") from error
    return config


def model_choices(folder: Path) -> dict[str, Any]:
    """Fields of `RestoreOptions` that a model wants where the user does not choose: those it was made for.

    They stand in `model.json` under `sampler`; a family without them has none.
    """
    sampler = model_config(folder).get("sampler", {})
    choices = {"steps": sampler["steps"]} if "steps" in sampler else {}
    choices |= {"overlap": sampler["overlap"]} if "overlap" in sampler else {}
    return choices | ({"guidance": sampler["guidance"][0]} if "guidance" in sampler else {})


def settings_of(options: RestoreOptions) -> dict[str, Any]:
    """The options as plain values, those that the restoration depends on and none of where files lie.

    A mask or reference file stands for its content: its digest takes the place of its path.
    """
    settings = RestoreOptions.model_validate(
        {name: getattr(options, name) for name in RestoreOptions.model_fields}
    ).model_dump()
    if settings["mask"] and not settings["mask"].startswith("box:"):
        settings["mask"] = _content("mask", Path(settings["mask"]))
    settings["reference"] = [_reference(text) for text in settings["reference"]]
    return settings


def _reference(text: str) -> str:
    number, path = parse_reference(text)
    digest = _content("reference", path)
    return digest if number is None else f"{number}={digest}"


def _content(kind: str, path: Path) -> str:
    if not path.exists():
        raise UserError(f"{kind} file {path} does not exist")
    return media_digest(path)


def media_digest(path: Path) -> str:
    """SHA-256 of the input's bytes; of a folder, of the names and digests of its pictures."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        return sha256_bytes("".join(f"{p.name} {sha256_file(p)}\n" for p in files).encode())
    if not path.is_file():
        raise ItemError("missing", f"{path}: no such file")
    return sha256_file(path)


def job_key(input_sha256: str, model_sha256: str, settings: dict[str, Any]) -> str:
    """What a result depends on, as one digest."""
    return digest_of({"engine": VERSION, "input": input_sha256, "model": model_sha256, "settings": settings})


def write_record(path: Path, key: str, report: dict[str, Any], files: list[Path]) -> None:
    """Records a finished job with the SHA-256 of every file it wrote; paths are relative to the outputs' folder."""
    root = path.parents[2]
    outputs = {file.relative_to(root).as_posix(): media_digest(file) for file in files}
    write_json(path, {"key": key, "report": report, "outputs": outputs})


def finished(path: Path, key: str) -> dict[str, Any] | None:
    """The report of job `key` if its record is there and every output still has the bytes that were written."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        outputs, report = dict(record["outputs"]), dict(record["report"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if record.get("key") != key:
        return None
    root = path.parents[2]
    unchanged = all((root / name).exists() and media_digest(root / name) == sha for name, sha in outputs.items())
    return report if unchanged else None
