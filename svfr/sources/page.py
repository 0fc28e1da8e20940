"""Fetches the video of a web page (YouTube and the like) with yt-dlp: no configuration files, no cache, no merging."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svfr.artifacts import disk_errors
from svfr.errors import PassingError, UserError

_GONE = re.compile(
    r"HTTP Error (404|410)|unavailable|private|removed|terminated|deleted|not exist|is not available|no longer",
    re.IGNORECASE,
)
_HOPELESS = re.compile(r"HTTP Error 4(?!08|29)\d\d|Unsupported URL|format is not available|Sign in", re.IGNORECASE)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class PageOptions:
    """How pages are fetched. `timeout` is in seconds without a byte, `max_rate` in bytes a second (0: no limit).

    `format` is yt-dlp's description of the file wanted; it must be one file, since nothing is merged.
    """

    retries: int = 3
    timeout: float = 60.0
    max_rate: int = 0
    format: str = "bv*[protocol^=http]/bv*"
    pause: float = 1.0


def fetch_page(url: str, part: Path, options: PageOptions, check: Callable[[int], None]) -> None:
    """Fetches the video of the page `url` into `part`, going on with `<part>.part` of an earlier attempt.

    `check` gets the size as soon as it is known, and the bytes so far; what it raises ends the transfer. Raises
    `PassingError` `missing` for a video that is gone, private or blocked, and `fetch_failed`, each with yt-dlp's reason
    in one line. An attempt that failed for another reason is repeated after a growing pause.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(options.retries + 1):
        try:
            with disk_errors(part):
                return _attempt(url, part, options, check)
        except _Failed as error:
            reason = str(error)
            if _GONE.search(reason):
                raise PassingError("missing", f"'{url}' cannot be had ({reason})") from error
            if attempt == options.retries or _HOPELESS.search(reason):
                raise PassingError("fetch_failed", f"'{url}' could not be fetched ({reason}); run again later") from (
                    error
                )
        time.sleep(min(options.pause * 2**attempt, 30.0))
    raise AssertionError("unreachable: the last attempt returns or raises")


class _Failed(Exception):
    """yt-dlp gave up; the message is its reason in one line."""


class _Silent:
    """A log that yt-dlp may write into."""

    def debug(self, message: str) -> None:
        """Nothing."""

    info = warning = error = debug


def _attempt(url: str, part: Path, options: PageOptions, check: Callable[[int], None]) -> None:
    import yt_dlp

    def watch(state: dict[str, Any]) -> None:
        check(int(state.get("total_bytes") or state.get("downloaded_bytes") or 0))

    def refuse_live(info: dict[str, Any], **_: object) -> None:
        if info.get("is_live"):
            raise PassingError("fetch_failed", f"'{url}' is being broadcast: run again when it has ended")

    settings = {
        "outtmpl": {"default": str(part).replace("%", "%%")},
        "format": options.format,
        "quiet": True,
        "noprogress": True,
        "logger": _Silent(),
        "cachedir": False,
        "noplaylist": True,
        "playlist_items": "1",
        "continuedl": True,
        "updatetime": False,
        "fixup": "never",
        "skip_unavailable_fragments": False,  # a hole in a film is no film
        "retries": options.retries,
        "fragment_retries": options.retries,
        "socket_timeout": options.timeout,
        "ratelimit": options.max_rate or None,
        "match_filter": refuse_live,
        "progress_hooks": [watch],
    }
    try:
        with yt_dlp.YoutubeDL(settings) as fetcher:
            fetcher.extract_info(url)
    except UserError:
        raise
    except Exception as error:  # extractors of hundreds of sites, each with errors of its own
        inner = (getattr(error, "exc_info", None) or (None, error))[1]
        if isinstance(inner, OSError) and inner.errno in _DISK:
            raise inner from error
        raise _Failed(_line(error)) from error
    if not part.is_file():
        raise _Failed("yt-dlp found no video to download there")


def _line(error: Exception) -> str:
    text = " ".join(_COLOUR.sub("", str(error)).split()).removeprefix("ERROR: ")
    return text.partition("; please report this issue")[0][:300] or type(error).__name__
