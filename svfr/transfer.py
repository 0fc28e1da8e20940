"""Downloads that go on where they broke off."""

from __future__ import annotations

import email.utils
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
LONGEST_WAIT = 120.0  # seconds that a server may ask for; more is left to a later run
Progress = Callable[[int, int | None], None]
"""(bytes there, bytes in all or None)."""


def download(
    url: str,
    part: Path,
    *,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
    max_rate: int = 0,
    progress: Progress | None = None,
) -> None:
    """Fetches `url` (http or https) into `part`, continuing with what `part` already holds.

    A server that changed the file meanwhile (another ETag) or that cannot continue makes it start over. Between
    attempts come pauses of `pause`, twice, four times ... as many seconds (30 at most), or what a busy server asks for
    in `Retry-After`, if that is not beyond `LONGEST_WAIT`. `timeout` is in seconds without a byte, `max_rate` in bytes
    a second (0: no limit). Redirects lead to http(s) only. `part` stays when all attempts fail, so that a later call
    goes on from it. Raises `UserError` then, and at once for an answer that more attempts will not change (such as
    404).
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"{url} is no http(s) address")
    part.parent.mkdir(parents=True, exist_ok=True)
    problem: Exception | str = ""
    asked = 0.0
    for attempt in range(attempts):
        if attempt:
            time.sleep(max(asked, min(pause * 2 ** (attempt - 1), 30)))
        asked = 0.0
        try:
            with disk_errors(part):
                if _attempt(url, part, timeout, max_rate, progress):
                    return
            problem = "the connection closed early"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing to continue with: the piece is not of this file
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise UserError(f"{url} answered {error.code} {error.reason}: fetch the file by hand") from error
            asked = _retry_after(error)
            if asked > LONGEST_WAIT:
                raise UserError(
                    f"{url} answered {error.code} and asks to wait {asked:.0f} s: run again after that"
                ) from error
            problem = error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = error
    raise UserError(f"{url} could not be fetched in {attempts} attempts ({problem}); run again to go on from there")


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects from web address to web address, never to a file or another protocol."""

    def redirect_request(
        self, request: Any, answer: Any, code: int, message: str, headers: Any, target: str
    ) -> urllib.request.Request | None:
        if urlsplit(target).scheme not in ("http", "https"):
            reason = f"to {target!r}, which is not followed: it is no http(s) address"
            raise urllib.error.HTTPError(request.full_url, code, reason, headers, answer)
        return super().redirect_request(request, answer, code, message, headers, target)


def _opener() -> urllib.request.OpenerDirector:
    """Speaks http and https, through a proxy where the environment names one, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _WebOnly,
    ):
        opener.add_handler(handler())
    return opener


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Seconds that a busy server asks to wait (RFC 9110, 10.2.3: a number or a date); 0 if it asks for none."""
    value = (error.headers.get("Retry-After") or "").strip() if error.code in (429, 503) and error.headers else ""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time()) if value else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _attempt(url: str, part: Path, timeout: float, max_rate: int, progress: Progress | None) -> bool:
    """One connection; True if the file is complete afterwards."""
    tag = part.with_name(part.name + ".etag")
    there = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "svfr"}
    if there:
        headers["Range"] = f"bytes={there}-"
        if tag.exists():
            headers["If-Range"] = tag.read_text()
    with _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        continued = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        there = there if continued else 0
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length is not None else None
        if etag := answer.headers.get("ETag"):
            tag.write_text(etag)
        with part.open("ab" if continued else "wb") as file:
            there = _copy(answer, file, there, total, max_rate, progress)
    if total is not None and there < total:
        return False
    tag.unlink(missing_ok=True)
    return True


def _copy(answer: Any, file: Any, there: int, total: int | None, max_rate: int, progress: Progress | None) -> int:
    """Copies what comes as it comes, so that a connection that breaks leaves all it brought."""
    began, first = time.monotonic(), there
    size = min(CHUNK, max(1024, max_rate // 4)) if max_rate else CHUNK
    while block := answer.read1(size):
        file.write(block)
        there += len(block)
        if progress is not None:
            progress(there, total)
        if max_rate:
            time.sleep(max(0.0, (there - first) / max_rate - (time.monotonic() - began)))
    return there
