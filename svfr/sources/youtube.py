"""YouTube addresses in one form, `youtube:ID`, whatever page, mirror or player they were copied from."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from svfr.errors import UserError

SCHEME = "youtube"
_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_HOSTS = re.compile(r"(?:(?:www|m|music)\.)?youtube(?:-nocookie)?\.com")
_PATHS = re.compile(r"/(?:embed|shorts|live|v)/([^/]+)/?")


def youtube_uri(video_id: str) -> str:
    """`youtube:ID`. Raises `UserError` for what cannot be the id of a YouTube video."""
    if not _ID.fullmatch(video_id):
        raise UserError(f"'{video_id}' is no YouTube id: these are 11 letters, digits, '-' or '_'")
    return f"{SCHEME}:{video_id}"


def canonical(uri: str) -> str:
    """`uri` without fragment as `youtube:ID` if it is the page of a YouTube video, else as it is.

    Raises `UserError` for a YouTube address whose id is none.
    """
    parts = urlsplit(uri)
    if parts.scheme == SCHEME:
        return youtube_uri(uri.partition(":")[2])
    if parts.scheme not in ("http", "https"):
        return uri
    host = (parts.hostname or "").lower()
    if host == "youtu.be":
        return youtube_uri(parts.path.strip("/"))
    if not _HOSTS.fullmatch(host):
        return uri
    if parts.path.rstrip("/") == "/watch":
        return youtube_uri(parse_qs(parts.query).get("v", [""])[0])
    found = _PATHS.fullmatch(parts.path)
    return youtube_uri(found[1]) if found else uri


def page_of(uri: str, pattern: str) -> str:
    """The address of the page of `youtube:ID`; `pattern` holds `{id}` (`download.youtube_url`)."""
    video_id = youtube_uri(uri.partition(":")[2]).partition(":")[2]
    return pattern.replace("{id}", video_id)
