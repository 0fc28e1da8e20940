"""Videos in a repository on the Hugging Face Hub: `hf://datasets/OWNER/NAME[@REVISION][/FOLDER]`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import fsspec

from svfr.errors import UserError
from svfr.sources.entry import Source, entry

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".ogv")
)


def list_hub(uri: str) -> list[Source]:
    """A source a video file (by suffix) below `uri`, a folder or one file, with its SHA-256 where the Hub knows it.

    Raises `UserError` if it does not exist, holds no videos or the Hub cannot be reached.
    """
    try:
        filesystem, path = fsspec.url_to_fs(uri)
        found = filesystem.find(path, detail=True)
    except FileNotFoundError as error:
        raise UserError(f"'{uri}' does not exist on the Hub, or needs a login (HF_TOKEN): check its name") from error
    except Exception as error:
        raise UserError(f"'{uri}' cannot be listed ({hub_reason(error)})") from error
    videos = {name: info for name, info in found.items() if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES}
    if not videos:
        raise UserError(f"'{uri}' holds no video among its {len(found)} files: name another folder")
    return [entry(f"hf://{name}", sha256=_digest(videos[name])) for name in sorted(videos)]


def hub_reason(error: Exception) -> str:
    """What went wrong between here and a remote file system, in one line."""
    if "Offline" in type(error).__name__:
        return "the Hub is switched off: set HF_HUB_OFFLINE=0 to allow it"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _digest(info: dict[str, Any]) -> str:
    large = info.get("lfs")
    found = large.get("sha256") if isinstance(large, dict) else getattr(large, "sha256", None)
    return found or ""
