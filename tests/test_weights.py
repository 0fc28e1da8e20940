"""Third-party weights: resume against a real server that misbehaves, digests, the offline folder, the list itself."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from svfr.errors import UserError, WeightsMissing
from svfr.transfer import download
from svfr.weight_list import WEIGHTS, Weight
from svfr.weights import get, require, verify, weights_folder

BODY = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves BODY; `script` says what the next requests meet: drop, 503, changed, deaf (to Range), 404."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[str] = []
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        trick = self.server.script.pop(0) if self.server.script else ""
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if trick in ("404", "503"):
            self.send_error(int(trick))
            return
        tag = '"v2"' if trick == "changed" else '"v1"'
        same = self.headers.get("If-Range") in (None, tag)
        start = int(wanted[6:-1]) if wanted and same and trick != "deaf" else 0
        if start >= len(BODY):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.send_header("Content-Length", str(len(BODY) - start))
        self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(BODY[start : start + 100_000] if trick == "drop" else BODY[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def weight(server: Server) -> Weight:
    return Weight("thing", "sub/thing.pth", server.url, "MIT", "a thing", sha256=DIGEST)


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.script = ["drop", "503", "drop", ""]
    told: list[tuple[int, int | None]] = []
    download(server.url, tmp_path / "f.part", pause=0.01, progress=lambda *p: told.append(p))
    assert (tmp_path / "f.part").read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-", "bytes=100000-", "bytes=200000-"]
    assert told[-1] == (len(BODY), len(BODY))


@pytest.mark.parametrize("trick", ["changed", "deaf"])
def test_it_starts_over_where_it_cannot_go_on(trick: str, server: Server, tmp_path: Path) -> None:
    server.script = ["drop", trick]
    download(server.url, tmp_path / "f.part", pause=0.01)
    assert (tmp_path / "f.part").read_bytes() == BODY


def test_a_foreign_piece_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"x" * (len(BODY) + 5))
    download(server.url, tmp_path / "f.part", pause=0.01)
    assert (tmp_path / "f.part").read_bytes() == BODY


def test_failures_are_told_and_the_piece_is_kept(server: Server, tmp_path: Path) -> None:
    server.script = ["404"]
    with pytest.raises(UserError, match="answered 404"):
        download(server.url, tmp_path / "f.part", pause=0.01)
    assert len(server.ranges) == 1
    server.script = ["drop", "503"]
    with pytest.raises(UserError, match="in 2 attempts"):
        download(server.url, tmp_path / "f.part", attempts=2, pause=0.01)
    assert (tmp_path / "f.part").stat().st_size == 100_000
    with pytest.raises(UserError, match=r"no http\(s\) address"):
        download("file:///etc/hostname", tmp_path / "f.part")


def test_get_checks_and_places_the_file_once(server: Server, weight: Weight, tmp_path: Path) -> None:
    path = get(weight, root=tmp_path)
    assert path == (tmp_path / "sub" / "thing.pth").resolve()
    assert path.read_bytes() == BODY
    get(weight, root=tmp_path)
    assert len(server.ranges) == 1
    path.write_bytes(b"damaged")
    assert get(weight, root=tmp_path).read_bytes() == BODY
    assert sorted(p.name for p in path.parent.iterdir()) == ["thing.pth"]


def test_a_wrong_file_never_takes_the_place(weight: Weight, tmp_path: Path) -> None:
    for wrong in (replace(weight, sha256="0" * 64), replace(weight, sha256=None, sha256_prefix="00000000")):
        with pytest.raises(UserError, match="changed or damaged"):
            get(wrong, root=tmp_path)
        assert not list((tmp_path / "sub").iterdir())
    assert get(replace(weight, sha256=None, sha256_prefix=DIGEST[:8]), root=tmp_path).is_file()


def test_an_unpublished_digest_holds_from_the_first_fetch(weight: Weight, tmp_path: Path) -> None:
    unknown = replace(weight, sha256=None)
    path = get(unknown, root=tmp_path)
    assert DIGEST in (tmp_path / "digests.json").read_text()
    path.unlink()
    folder = tmp_path / "offline"
    folder.mkdir()
    (folder / "thing.pth").write_bytes(b"another file")
    with pytest.raises(UserError, match="changed or damaged"):
        get(unknown, root=tmp_path, offline_folder=folder)


def test_the_offline_folder_needs_no_network(tmp_path: Path) -> None:
    weight = Weight("thing", "sub/thing.pth", "http://127.0.0.1:1/none", "MIT", "a thing", sha256=DIGEST)
    folder = tmp_path / "offline"
    folder.mkdir()
    with pytest.raises(UserError, match=r"thing.pth is not in"):
        get(weight, root=tmp_path / "w", offline_folder=folder)
    (folder / "thing.pth").write_bytes(BODY)
    assert get(weight, root=tmp_path / "w", offline_folder=folder).read_bytes() == BODY
    assert (folder / "thing.pth").is_file()


def test_require_names_file_source_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path
    with pytest.raises(WeightsMissing) as caught:
        require("svfr-unet")
    for part in ("unet.pth", "https://huggingface.co/", "svfr weights get svfr-unet"):
        assert part in str(caught.value)
    with pytest.raises(UserError, match="unknown weights 'nothing'"):
        require("nothing")

    place = tmp_path / WEIGHTS["stc-bfvr"].file
    place.parent.mkdir()
    place.write_bytes(b"put there by hand")
    assert require("stc-bfvr") == place.resolve()
    place.write_bytes(b"changed afterwards")
    with pytest.raises(UserError, match="changed or damaged"):
        require("stc-bfvr")
    (tmp_path / WEIGHTS["vgg16"].file).parent.mkdir()
    (tmp_path / WEIGHTS["vgg16"].file).write_bytes(b"not VGG")
    states = {state.weight.name: state.state for state in verify()}
    assert states["stc-bfvr"] == states["vgg16"] == "damaged"
    assert states["svfr-unet"] == "missing"
    assert states.keys() == WEIGHTS.keys()
    for record in ("{", "[1]"):
        (tmp_path / "digests.json").write_text(record)
        with pytest.raises(UserError, match=r"digests.json is damaged"):
            verify(["stc-bfvr"])


def test_the_list_is_well_formed() -> None:
    files = [weight.file for weight in WEIGHTS.values()]
    assert len(set(files)) == len(files)
    for weight in WEIGHTS.values():
        assert weight.url.startswith("https://")
        assert weight.licence
        assert weight.what
        assert weight.sha256 is None or len(bytes.fromhex(weight.sha256)) == 32
        assert weight.sha256_prefix is None or weight.sha256_prefix in weight.file
