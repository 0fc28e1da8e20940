"""Fetching from a real server that truncates, redirects, fails and lies, and from the local disk."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from stages.fetch import _append, fetch
from svfr.artifacts import digest_of, sha256_bytes
from svfr.errors import ItemError, PassingError, UserError
from svfr.params import DownloadParams

BODY = bytes(range(256)) * 12_000  # 3 MB, so that a transfer takes several blocks
DIGEST = sha256_bytes(BODY)
ONCE = DownloadParams(retries=0, timeout=5)
TWICE = DownloadParams(retries=1, timeout=5)


class Server(ThreadingHTTPServer):
    """Serves `body` at every path that its first letters give a meaning to; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.tag = '"1"'
        self.asked: list[tuple[str, str]] = []  # method and path, Range
        self.released = threading.Event()  # ends what stalls

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no error."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        first = not any(path == self.path for path, _ in self.server.asked)
        self.server.asked.append((self.path, asked))
        word = self.path.strip("/").partition("-")[0]
        if word in ("busy", "later"):
            self.send_response(429 if first else 200)
            self.send_header("Retry-After", "1" if word == "busy" else "86400")
            self.send_header("Content-Length", str(0 if first else len(self.server.body)))
            self.end_headers()
            self.wfile.write(b"" if first else self.server.body)
        elif word == "away":
            self.send_response(302)
            self.send_header("Location", unquote(self.path.partition("-")[2]))
            self.end_headers()
        elif word == "stall":
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.body)))
            self.end_headers()
            self.wfile.write(self.server.body[:1000])
            self.server.released.wait(10)
        elif word == "page":
            text = f'<html><body><video src="{self.server.url("film.mp4")}"></video></body></html>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        elif word in ("404", "410", "403", "500") or (word == "flaky" and first):
            self.send_error(500 if word == "flaky" else int(word))
        elif word == "moved":
            self.send_response(302)
            self.send_header("Location", self.server.url("whole-elsewhere"))
            self.end_headers()
        else:
            self.serve(
                asked if word != "plain" else "", cut=word in ("cut", "plain") and first, sized=word != "unsized"
            )

    def serve(self, asked: str, *, cut: bool, sized: bool) -> None:
        body = self.server.body
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        if found and self.headers.get("If-Range", self.server.tag) != self.server.tag:
            found = None
        start = int(found[1]) if found else 0
        stop = min(int(found[2]) + 1, len(body)) if found and found[2] else len(body)
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}")
        if sized:
            self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[start : start + (stop - start) // 2 if cut else stop])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stays silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def refused(uri: str, store: Path, params: DownloadParams = ONCE, sha256: str = "") -> ItemError:
    with pytest.raises(ItemError) as caught:
        fetch(uri, sha256, store, params)
    assert "\n" not in str(caught.value)
    return caught.value


def files(store: Path) -> list[str]:
    return sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", ["whole", "moved", "unsized", "flaky", "cut", "plain"])
def test_every_server_that_has_the_file_gives_the_file(server: Server, tmp_path: Path, path: str) -> None:
    found = fetch(server.url(path), DIGEST, tmp_path, TWICE)
    assert found == tmp_path / DIGEST[:2] / DIGEST
    assert found.read_bytes() == BODY
    assert files(tmp_path) == [f"{DIGEST[:2]}/{DIGEST}"]
    if path == "cut":
        assert server.asked[-1] == ("/cut", f"bytes={len(BODY) // 2}-")


def test_a_broken_transfer_goes_on_in_the_next_run(server: Server, tmp_path: Path) -> None:
    error = refused(server.url("cut"), tmp_path)
    assert (type(error), error.code) == (PassingError, "fetch_failed")
    assert [len((tmp_path / name).read_bytes()) for name in files(tmp_path) if "etag" not in name] == [len(BODY) // 2]
    assert fetch(server.url("cut"), DIGEST, tmp_path, ONCE).read_bytes() == BODY
    assert [path for path in files(tmp_path) if "partial" in path] == []


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    refused(server.url("cut"), tmp_path)
    server.body, server.tag = BODY[::-1], '"2"'
    assert fetch(server.url("cut"), "", tmp_path, ONCE).read_bytes() == BODY[::-1]


@pytest.mark.parametrize(
    ("path", "code"), [("404", "missing"), ("410", "missing"), ("403", "fetch_failed"), ("500", "fetch_failed")]
)
def test_refusals_of_a_server_are_named_and_may_pass(server: Server, tmp_path: Path, path: str, code: str) -> None:
    error = refused(server.url(path), tmp_path)
    assert (type(error), error.code) == (PassingError, code)
    assert server.url(path) in str(error)
    assert files(tmp_path) == []


def test_no_server_at_all_is_a_failure_that_may_pass(tmp_path: Path) -> None:
    error = refused("http://127.0.0.1:1/v.mp4", tmp_path)
    assert (type(error), error.code) == (PassingError, "fetch_failed")


def test_a_busy_server_is_given_the_time_it_asks_for(server: Server, tmp_path: Path) -> None:
    began = time.monotonic()
    assert fetch(server.url("busy"), DIGEST, tmp_path, TWICE).read_bytes() == BODY
    assert time.monotonic() - began >= 1
    error = refused(server.url("later"), tmp_path, TWICE)
    assert (type(error), error.code) == (PassingError, "fetch_failed")
    assert "asks to wait 86400 s" in str(error)
    assert len([path for path, _ in server.asked if path == "/later"]) == 1


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/v", "data:,v", "gopher://h/v"])
def test_redirects_leave_the_web_for_nothing(server: Server, tmp_path: Path, target: str) -> None:
    error = refused(server.url("away-" + quote(target, safe="")), tmp_path, TWICE)
    assert (type(error), error.code) == (PassingError, "fetch_failed")
    assert "answered 302" in str(error)
    assert files(tmp_path) == []


def test_a_connection_that_stalls_is_given_up_and_keeps_what_came(server: Server, tmp_path: Path) -> None:
    began = time.monotonic()
    error = refused(server.url("stall"), tmp_path, ONCE.model_copy(update={"timeout": 0.3}))
    assert time.monotonic() - began < 3
    assert (type(error), error.code) == (PassingError, "fetch_failed")
    assert [(tmp_path / name).stat().st_size for name in files(tmp_path)] == [1000]


def test_the_rate_of_a_transfer_is_bounded(server: Server, tmp_path: Path) -> None:
    began = time.monotonic()
    fetch(server.url("whole"), DIGEST, tmp_path, ONCE.model_copy(update={"max_rate": 4 * len(BODY)}))
    assert 0.2 <= time.monotonic() - began < 2


def test_a_page_is_fetched_through_its_own_player(server: Server, tmp_path: Path) -> None:
    """The real yt-dlp, whose generic extractor reads any page, in the place of YouTube and for a page of its own."""
    params = ONCE.model_copy(update={"youtube_url": server.url("page-{id}")})
    for uri in ("youtube:_raOc3-IRsw", "page+" + server.url("page")):
        found = fetch(uri, DIGEST, tmp_path / "store", params)
        assert found.read_bytes() == BODY
    assert files(tmp_path / "store") == [f"{DIGEST[:2]}/{DIGEST}"]
    small = params.model_copy(update={"max_bytes": 1_000_000})
    error = refused("youtube:_raOc3-IRsw", tmp_path / "other", small)
    assert (type(error), error.code) == (ItemError, "too_large")
    assert files(tmp_path / "other") == []


@pytest.mark.parametrize(("path", "code"), [("404", "missing"), ("403", "fetch_failed"), ("500", "fetch_failed")])
def test_a_page_that_is_gone_is_one_line(server: Server, tmp_path: Path, path: str, code: str) -> None:
    params = ONCE.model_copy(update={"youtube_url": server.url(path + "-{id}")})
    error = refused("youtube:_raOc3-IRsw", tmp_path, params)
    assert (type(error), error.code) == (PassingError, code)
    assert f"HTTP Error {path}" in str(error)
    assert files(tmp_path) == []


@pytest.mark.parametrize("path", ["whole", "unsized"])
def test_what_is_too_large_is_refused_before_it_is_stored(server: Server, tmp_path: Path, path: str) -> None:
    small = ONCE.model_copy(update={"max_bytes": 2_000_000})
    error = refused(server.url(path), tmp_path, small)
    assert (type(error), error.code) == (ItemError, "too_large")
    assert "download.max_bytes = 2000000" in str(error)
    assert [name for name in files(tmp_path) if not name.endswith(".etag")] == []


def test_a_wrong_checksum_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    local = tmp_path / "v.mp4"
    local.write_bytes(BODY)
    for uri in (server.url("whole"), str(local)):
        error = refused(uri, tmp_path / "store", sha256="0" * 64)
        assert (type(error), error.code) == (PassingError, "checksum")
        assert files(tmp_path / "store") == []
    assert local.exists()


def test_local_files_are_copied_by_digest(tmp_path: Path) -> None:
    local = tmp_path / "a b.mp4"
    local.write_bytes(BODY)
    for uri in (str(local), local.as_uri()):
        assert fetch(uri, "", tmp_path / "store", ONCE).read_bytes() == BODY
    assert files(tmp_path / "store") == [f"{DIGEST[:2]}/{DIGEST}"]
    missing = refused(str(tmp_path / "gone.mp4"), tmp_path / "store")
    assert (type(missing), missing.code) == (PassingError, "missing")
    assert refused(str(tmp_path), tmp_path / "store").code == "missing"
    assert refused("ftp://example.org/v.mp4", tmp_path / "store").code == "unsupported_scheme"
    small = ONCE.model_copy(update={"max_bytes": 10})
    assert refused(str(local), tmp_path / "other", small).code == "too_large"


def test_a_full_disk_ends_the_run_instead_of_refusing_the_item(server: Server, tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / digest_of(server.url("whole"))).symlink_to("/dev/full")
    with pytest.raises(UserError, match="disk full while writing") as caught:
        fetch(server.url("whole"), "", tmp_path, TWICE)
    assert not isinstance(caught.value, ItemError)


def test_an_object_store_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    """The block-wise way of s3, gs and hf, against a server whose object has a version."""
    whole = _append(server.url("whole"), tmp_path / "p", ONCE)
    assert whole.read_bytes() == BODY
    whole.write_bytes(BODY[:1000])
    assert _append(server.url("whole"), tmp_path / "p", ONCE).read_bytes() == BODY
    whole.write_bytes(BODY[:1000])
    server.body, server.tag = BODY[::-1], '"2"'
    other = _append(server.url("whole"), tmp_path / "p", ONCE)
    assert other != whole
    assert other.read_bytes() == BODY[::-1]
    with pytest.raises(UserError, match=r"download\.max_bytes"):
        _append(server.url("whole"), tmp_path / "p", ONCE.model_copy(update={"max_bytes": 9}))
