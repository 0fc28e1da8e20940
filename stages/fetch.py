"""Brings one source to a local file, whole and checked, resuming what an earlier attempt left behind."""

from __future__ import annotations

import shutil
import time
import urllib.error
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec

from stages.media import media_path
from svfr.artifacts import atomic_write, digest_of, disk_errors, sha256_file
from svfr.errors import ItemError, PassingError, UserError
from svfr.params import DownloadParams
from svfr.sources.fragment import exists
from svfr.sources.hub import hub_reason
from svfr.sources.page import PageOptions, fetch_page
from svfr.sources.youtube import SCHEME, page_of
from svfr.transfer import download

PAGE = "page+"  # before http(s): not the file itself but a page that shows it
PAGES = frozenset((SCHEME, f"{PAGE}http", f"{PAGE}https"))
SCHEMES = frozenset(("http", "https", "s3", "gs", "hf")) | PAGES
_BLOCK = 1 << 20


def fetch(uri: str, sha256: str, store: Path, params: DownloadParams) -> Path:
    """Copies `uri`, an address without media fragment, into `store`, named by its SHA-256; returns that file.

    A local path is copied; `http(s)` has its own transfer, `s3`, `gs` and `hf` go through fsspec, `youtube:ID` and
    pages (`page+https://...`) through yt-dlp. A broken transfer goes on where it stopped. `sha256`, if not empty, must
    match. Raises `ItemError` with the codes `too_large` and `unsupported_scheme`, and `PassingError` with `missing`,
    `fetch_failed` and `checksum`.
    """
    scheme = urlsplit(uri).scheme
    if scheme in SCHEMES:
        return _keep(_download(uri, store, params), sha256, uri, store, move=True)
    path = local_path(uri)
    if path is None:
        known = ", ".join(sorted(SCHEMES))
        raise ItemError("unsupported_scheme", f"'{uri}' is neither a local file nor one of {known}")
    if not path.is_file():
        raise PassingError("missing", f"'{uri}' does not exist")
    _check_size(path.stat().st_size, uri, params)
    return _keep(path, sha256, uri, store, move=False)


def local_path(uri: str) -> Path | None:
    """The local file that `uri` (without media fragment) names, there or not; None for an address elsewhere."""
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        return Path(unquote(urlsplit(uri).path))
    path = Path(uri)
    return path if not scheme or (scheme not in SCHEMES and exists(path)) else None


def _keep(path: Path, expected: str, uri: str, store: Path, *, move: bool) -> Path:
    try:
        found = sha256_file(path)
    except PermissionError as error:
        raise PassingError("missing", f"'{uri}' may not be read: change its rights") from error
    if expected and found != expected:
        if move:
            path.unlink()
        raise PassingError(
            "checksum", f"'{uri}' has sha256 {found[:12]}…, the list says {expected[:12]}…: fix the list"
        )
    target = media_path(store, found)
    if not target.exists():
        with atomic_write(target) as temporary:
            if move:
                path.replace(temporary)
            else:
                shutil.copyfile(path, temporary)
    elif move:
        path.unlink()
    return target


def _download(uri: str, store: Path, params: DownloadParams) -> Path:
    """The whole of `uri` as a file in `<store>/partial`, which keeps what a failed transfer has brought."""
    partial = store / "partial" / digest_of(uri)
    scheme = urlsplit(uri).scheme
    try:
        if scheme in PAGES:
            _from_page(uri, partial, params)
        elif scheme in ("http", "https"):
            _from_web(uri, partial, params)
        else:
            partial = _from_store(uri, partial, params)
    except PassingError:
        raise
    except ItemError:
        for left in partial.parent.glob(f"{partial.name}*"):
            left.unlink()
        raise
    return partial


def _from_page(uri: str, partial: Path, params: DownloadParams) -> None:
    url = page_of(uri, params.youtube_url) if uri.startswith(f"{SCHEME}:") else uri.removeprefix(PAGE)
    options = PageOptions(params.retries, params.timeout, params.max_rate, params.page_format)
    fetch_page(url, partial, options, lambda size: _check_size(size, uri, params))


def _from_web(uri: str, partial: Path, params: DownloadParams) -> None:
    def check(there: int, total: int | None) -> None:
        _check_size(total or there, uri, params)

    try:
        download(
            uri,
            partial,
            attempts=params.retries + 1,
            timeout=params.timeout,
            max_rate=params.max_rate,
            progress=check,
        )
    except ItemError:
        raise
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, urllib.error.HTTPError):
            raise PassingError("missing" if cause.code in (404, 410) else "fetch_failed", str(error)) from error
        if isinstance(cause, OSError):  # the disk, not the network
            raise
        raise PassingError("fetch_failed", str(error)) from error


def _from_store(uri: str, partial: Path, params: DownloadParams) -> Path:
    """Fetches from an object store through fsspec; retries with growing pauses."""
    for attempt in range(params.retries + 1):
        try:
            return _append(uri, partial, params)
        except FileNotFoundError as error:
            raise PassingError("missing", f"'{uri}' does not exist there any more") from error
        except UserError:
            raise
        except Exception as error:  # every remote file system has its own family of errors
            if attempt == params.retries or "Offline" in type(error).__name__:
                message = f"'{uri}' failed {attempt + 1} times, last with {hub_reason(error)}"
                raise PassingError("fetch_failed", message) from error
            time.sleep(min(2.0**attempt, 30.0))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _append(uri: str, partial: Path, params: DownloadParams) -> Path:
    """Appends to `<partial>.<version of the object>` until the object's size is reached."""
    filesystem, remote = fsspec.url_to_fs(uri)
    info = filesystem.info(remote)
    size = int(info["size"])
    _check_size(size, uri, params)
    version = [
        str(info.get(name)) for name in ("size", "ETag", "etag", "md5Hash", "blob_id", "LastModified", "updated")
    ]
    partial = partial.with_name(f"{partial.name}.{digest_of(version)[:8]}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.exists() else 0
    began = time.monotonic()
    with disk_errors(partial), partial.open("ab") as out, filesystem.open(remote, "rb") as source:
        source.seek(have)
        while block := source.read(_BLOCK):
            out.write(block)
            if params.max_rate:
                time.sleep(max(0.0, (out.tell() - have) / params.max_rate - (time.monotonic() - began)))
    if partial.stat().st_size != size:
        raise OSError(f"got {partial.stat().st_size} of {size} bytes")
    return partial


def _check_size(size: int, uri: str, params: DownloadParams) -> None:
    if size > params.max_bytes:
        raise ItemError("too_large", f"'{uri}' has {size} bytes, more than download.max_bytes = {params.max_bytes}")
