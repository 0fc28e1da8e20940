"""Variants of the project: each changes parameters and runs some stages in a project folder of its own.

The folder shares tables, shards and models by links and has parameters, checkpoints, models and reports of its own, so
variants can be killed, resumed and run side by side without touching what the project has made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from stages.tracking import tracking_uri
from svfr.artifacts import digest_of, sha256_file, write_text
from svfr.errors import UserError
from svfr.params import load_params


@dataclass(frozen=True)
class Variant:
    """`changes`: dotted keys of `params.yaml` to values, or to functions of the project's own value.

    `stages` are run in order and have left the files `made`; `shared` are the folders that are linked.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    made: tuple[str, ...] = ()

    def folder(self, root: Path) -> Path:
        """`cache/ablation/<name>-<digest of parameters and inputs>`, prepared: links, and `params.yaml`.

        Raises `UserError` if a shared folder is not there yet.
        """
        raw = self._parameters(root)
        named = {shared: _fingerprint(root / shared) for shared in self.shared}
        folder = root / "cache" / "ablation" / f"{self.name}-{digest_of({'params': raw, 'inputs': named})[:12]}"
        for shared in self.shared:
            link = folder / shared
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to((root / shared).resolve(), target_is_directory=True)
        write_text(folder / "params.yaml", yaml.safe_dump(raw, sort_keys=False))
        return folder

    def finished(self, folder: Path) -> bool:
        """Whether every stage has run in `folder`."""
        return all((folder / file).is_file() for file in self.made)

    def _parameters(self, root: Path) -> dict[str, Any]:
        file = root / "params.yaml"
        raw: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        whole = load_params(file).model_dump(by_alias=True)
        for key, change in self.changes.items():
            *path, last = key.split(".")
            section, own = raw, whole
            for part in path:
                section[part] = section.get(part) or {}
                section, own = section[part], own[part]
            section[last] = change(own[last]) if callable(change) else change
        uri = tracking_uri(whole["register"]["tracking_uri"], root.resolve())
        raw["register"] = {**(raw.get("register") or {}), "tracking_uri": uri}
        return raw


AnyVariant = TypeVar("AnyVariant", bound=Variant)
COLUMNS = {  # what the papers' tables call the metrics
    "psnr": "PSNR ↑", "ssim": "SSIM ↑", "lpips": "LPIPS ↓", "ids": "IDS ↑", "vidd": "VIDD ↓", "fvd": "FVD ↓",
}  # fmt: skip


def finished_folders(variants: Sequence[Variant], root: Path, command: str) -> dict[str, Path]:
    """The folders of the variants that are finished, by name. Raises `UserError`, naming `command`, if none is."""
    folders = [(variant, variant.folder(root)) for variant in variants]
    done = {variant.name: folder for variant, folder in folders if variant.finished(folder)}
    if not done:
        raise UserError(f"no row of the ablation is finished: run `{command}` first")
    return done


def not_finished(variants: Sequence[Variant], done: Iterable[str]) -> list[str]:
    """A line for the end of a report that names the variants which are not in `done`; none if all are."""
    missing = [variant.name for variant in variants if variant.name not in set(done)]
    return [f"\nNot finished: {', '.join(missing)}."] if missing else []


def named(variants: Sequence[AnyVariant], name: str) -> AnyVariant:
    """The variant called so; raises `UserError` for an unknown name."""
    for variant in variants:
        if variant.name == name:
            return variant
    raise UserError(f"unknown ablation '{name}': choose among {', '.join(variant.name for variant in variants)}")


def _fingerprint(folder: Path) -> str:
    """Digest of a stage's table or model description, which names everything else in the folder by digest."""
    file = folder / (f"{folder.name}.parquet" if folder.parent.name == "data" else "model.json")
    if not file.is_file():
        raise UserError(f"{file} is missing: run the stages before training first (python -m flows.train)")
    return sha256_file(file)
