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
from svfr.transfer import download

SCHEMES = frozenset(("http", "https", "s3", "gs", "hf"))
_BLOCK = 1 << 20


def fetch(uri: str, sha256: str, store: Path, params: DownloadParams) -> Path:
    """Copies `uri` into `store`, named by its SHA-256, and returns that file.

    A local path is copied; `http(s)` has its own transfer, `s3`, `gs` and `hf` go through fsspec. A broken transfer
    goes on where it stopped. `sha256`, if not empty, must match. Raises `ItemError` with the codes `too_large` and
    `unsupported_scheme`, and `PassingError` with `missing`, `fetch_failed` and `checksum`.
    """
    scheme = urlsplit(uri).scheme
    if scheme in SCHEMES:
        return _keep(_download(uri, store, params), sha256, uri, store, move=True)
    if scheme not in ("", "file") and not Path(uri).exists():
        known = ", ".join(sorted(SCHEMES))
        raise ItemError("unsupported_scheme", f"'{uri}' is neither a local file nor one of {known}")
    path = Path(unquote(urlsplit(uri).path) if scheme == "file" else uri)
    if not path.is_file():
        raise PassingError("missing", f"'{uri}' does not exist")
    _check_size(path.stat().st_size, uri, params)
    return _keep(path, sha256, uri, store, move=False)


def _keep(path: Path, expected: str, uri: str, store: Path, *, move: bool) -> Path:
    found = sha256_file(path)
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
    try:
        if urlsplit(uri).scheme in ("http", "https"):
            _from_web(uri, partial, params)
        else:
            partial = _from_store(uri, partial, params)
    except PassingError:
        raise
    except ItemError:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _from_web(uri: str, partial: Path, params: DownloadParams) -> None:
    def check(there: int, total: int | None) -> None:
        _check_size(total or there, uri, params)

    try:
        download(uri, partial, attempts=params.retries + 1, timeout=params.timeout, progress=check)
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
            if attempt == params.retries:
                reason = f"{type(error).__name__}: {error}"
                raise PassingError("fetch_failed", f"'{uri}' failed {attempt + 1} times, last with {reason}") from error
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
    with disk_errors(partial), partial.open("ab") as out, filesystem.open(remote, "rb") as source:
        source.seek(have)
        while block := source.read(_BLOCK):
            out.write(block)
    if partial.stat().st_size != size:
        raise OSError(f"got {partial.stat().st_size} of {size} bytes")
    return partial


def _check_size(size: int, uri: str, params: DownloadParams) -> None:
    if size > params.max_bytes:
        raise ItemError("too_large", f"'{uri}' has {size} bytes, more than download.max_bytes = {params.max_bytes}")
