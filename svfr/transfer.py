"""Downloads that go on where they broke off."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from svfr.artifacts import disk_errors
from svfr.errors import UserError

CHUNK = 1 << 20
Progress = Callable[[int, int | None], None]
"""(bytes there, bytes in all or None)."""


def download(
    url: str,
    part: Path,
    *,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Fetches `url` (http or https) into `part`, continuing with what `part` already holds.

    A server that changed the file meanwhile (another ETag) or that cannot continue makes it start over. `part` stays
    when all attempts fail, so that a later call goes on from it. Raises `UserError` then, and at once for an answer
    that more attempts will not change (such as 404).
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"{url} is no http(s) address")
    part.parent.mkdir(parents=True, exist_ok=True)
    problem: Exception | str = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(min(pause * 2 ** (attempt - 1), 30))
        try:
            with disk_errors(part):
                if _attempt(url, part, timeout, progress):
                    return
            problem = "the connection closed early"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing to continue with: the piece is not of this file
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise UserError(f"{url} answered {error.code} {error.reason}: fetch the file by hand") from error
            problem = error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = error
    raise UserError(f"{url} could not be fetched in {attempts} attempts ({problem}); run again to go on from there")


def _attempt(url: str, part: Path, timeout: float, progress: Progress | None) -> bool:
    """One connection; True if the file is complete afterwards."""
    tag = part.with_name(part.name + ".etag")
    there = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "svfr"}
    if there:
        headers["Range"] = f"bytes={there}-"
        if tag.exists():
            headers["If-Range"] = tag.read_text()
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        continued = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        there = there if continued else 0
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length is not None else None
        if etag := answer.headers.get("ETag"):
            tag.write_text(etag)
        with part.open("ab" if continued else "wb") as file:
            there = _copy(answer, file, there, total, progress)
    if total is not None and there < total:
        return False
    tag.unlink(missing_ok=True)
    return True


def _copy(answer: Any, file: Any, there: int, total: int | None, progress: Progress | None) -> int:
    while block := answer.read(CHUNK):
        file.write(block)
        there += len(block)
        if progress is not None:
            progress(there, total)
    return there
