"""Registered models as verified local folders: `models:/svfr@champion` -> a path.

Folders are addressed by content, so one that was resolved before costs a look into the registry and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stages.tracking import connect, tracking_uri
from svfr.artifacts import atomic_dir
from svfr.errors import UserError
from svfr.restore.ledger import model_digest

ALIASES = ("champion", "challenger")
DIGEST_TAG, SOURCE_TAG = "svfr.model", "svfr.source"
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


def resolve_model(uri: str, registry: str, download_to: Path, root: Path = Path()) -> Path:
    """The local folder of `models:/name@alias`, `models:/name/version`, or of a plain path to a model folder.

    `registry` is the MLflow URI. Digests of weights and folder are checked when a model is fetched; a folder that lies
    in `download_to` already is taken as it is (loading checks it again). Raises `TrackingDown` if MLflow does not
    answer, `UserError` for an unknown name, alias or version, and for content that is not what was registered.
    """
    if not uri.startswith("models:"):
        model_digest(Path(uri))
        return Path(uri)
    found = _URI.fullmatch(uri)
    if found is None:
        raise UserError(
            f"model '{uri}' is no registry address: write models:/NAME@ALIAS, models:/NAME/VERSION or a folder"
        )
    client = connect(registry, root)
    return resolve_version(_lookup(client, uri, found), tracking_uri(registry, root), download_to)


def resolve_version(version: Any, registry: str, download_to: Path) -> Path:
    """The local folder of a registry version. Raises `UserError` as `resolve_model` does."""
    digest, source = version.tags.get(DIGEST_TAG), version.tags.get(SOURCE_TAG)
    if not digest or not source or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UserError(
            f"{version.name} version {version.version} was not registered by this project: it has no digest"
        )
    folder = download_to / digest
    if folder.is_dir() and model_digest(folder) == digest:
        return folder
    from svfr.models.folder import verify_model_folder

    with atomic_dir(folder) as temporary:
        fetched = _fetch(source, registry, temporary / "fetched")
        verify_model_folder(fetched)
        if model_digest(fetched) != digest:
            raise UserError(
                f"{source} is not the model that was registered as {version.name} version {version.version}"
            )
        for path in fetched.iterdir():
            path.rename(temporary / path.name)
        shutil.rmtree(temporary / "fetched")
    return folder


def keep(folder: Path, digest: str, store: Path) -> Path:
    """A copy of a model folder at `store/digest`: hard links on one file system, so several GB cost nothing.

    Training replaces its folder as a whole and never writes into its files, so the links keep the old content.
    """
    target = store.resolve() / digest
    if target.is_dir() and model_digest(target) == digest:
        return target
    with atomic_dir(target) as temporary:
        for path in folder.iterdir():
            if path.is_file():
                _link(path, temporary / path.name)
    return target


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _lookup(client: Any, uri: str, found: re.Match[str]) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        if found["alias"]:
            return client.get_model_version_by_alias(found["name"], found["alias"])
        return client.get_model_version(found["name"], found["version"])
    except MlflowException as error:
        raise UserError(f"the registry has no {uri}: train, evaluate and register a model first (dvc repro)") from error


def _fetch(source: str, registry: str, target: Path) -> Path:
    """The folder at `source`: a run's artifacts, downloaded, or a file address, linked."""
    if source.startswith("file:"):
        origin = Path(unquote(urlsplit(source).path))
        if not origin.is_dir():
            raise UserError(
                f"the registered model's folder {origin} is gone: restore it from backup, or register again"
            )
        target.mkdir()
        for path in origin.iterdir():
            if path.is_file():
                _link(path, target / path.name)
        return target
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    target.mkdir()
    try:
        return Path(download_artifacts(artifact_uri=source, dst_path=str(target), tracking_uri=registry))
    except (MlflowException, OSError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0][:160]
        raise UserError(f"the registered model {source} cannot be fetched ({reason}): register it again") from error
