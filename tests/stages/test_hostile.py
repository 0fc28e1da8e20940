"""A folder of two hundred damaged and hostile files through download and faces: a row for each, and nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
import hostile_files as files
from test_data_stages import ALL, ROOT, SCENES, python

from stages.layout import Layout
from stages.sources import read_sources, write_sources
from svfr.artifacts import short_id
from svfr.errors import ItemError
from svfr.sample import write
from svfr.sources.entry import refusal
from svfr.tables import read_table
from svfr.video.decode import read_frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
REFUSALS = {"missing", "empty_file", "not_a_video", "unreadable", "corrupt", "truncated", "zero_frames"}
REFUSALS |= {"too_large", "outside"}
FACE = SCENES[0]


class Trap:
    """A named pipe and a server on loopback that notice whoever touches them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path, self.touched = folder / "trap.ts", threading.Event()
        os.mkfifo(self.path)
        self._closing = False
        self._threads = [threading.Thread(target=self._wait, daemon=True)]
        trap = self

        class Server(ThreadingHTTPServer):
            def verify_request(self, *_: Any) -> bool:
                trap.touched.set()
                return False

        self._server = Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/trap.ts"
        self._threads.append(threading.Thread(target=self._server.serve_forever, daemon=True))
        for thread in self._threads:
            thread.start()

    def _wait(self) -> None:
        while not self._closing:
            pipe = os.open(self.path, os.O_WRONLY)  # blocks until someone reads
            if not self._closing:
                self.touched.set()
            os.close(pipe)

    def close(self) -> None:
        self._closing = True
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        os.close(reader)
        self._server.server_close()


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    made = Trap(tmp_path_factory.mktemp("elsewhere") / "outside")
    yield made
    made.close()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory, trap: Trap) -> tuple[Path, dict[str, set[str]]]:
    """A project in which both stages ran, and the names of its sources: healthy, flipped, and surely bad."""
    clips = {name: files.clip(name) for name in files.CLIPS}
    healthy = {**clips, FACE: write._scenes()[FACE](), "fine: %d #1\n.mp4": clips["end.mp4"] + b"\0\0\0\x08free"}
    flipped = dict(files.flipped(clips))
    bad = dict(files.cut(clips)) | dict(files.foreign()) | dict(files.boastful(clips))
    bad |= dict(files.pointing(clips, str(trap.path), trap.url)) | dict(files.odd_names(clips["end.mp4"][:2500]))
    root = tmp_path_factory.mktemp("hostile")
    (root / "in").mkdir()
    for name, data in (healthy | flipped | bad).items():
        (root / "in" / name).write_bytes(data)
    (root / "in" / "link_to_nothing.mp4").symlink_to(root / "nothing")
    (root / "in" / "link_to_a_pipe.mp4").symlink_to(trap.path)
    names = {"healthy": {*healthy}, "flipped": {*flipped}, "bad": {*bad, "link_to_nothing.mp4", "link_to_a_pipe.mp4"}}
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    sections["engine"]["workers"] = 2
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    assert len(write_sources("in", root)) == sum(map(len, names.values()))
    done = python(root, "-c", ALL, "download", "faces")
    assert done.returncode == 0, done.stderr
    return root, names


def fates(root: Path) -> dict[str, list[str]]:
    """Name of each source: reason of every row of the rejects that it caused as a whole."""
    layout = Layout(root)
    rejects = [row for table in ("videos", "clips") for row in read_table(layout.rejects(table), "rejects")]
    videos = {row["uri"]: row["video_id"] for row in layout.read("videos")}
    found = {}
    for source in read_sources(layout.sources):
        uri = source["uri"]
        why = refusal(uri)
        name = why[1].split("'")[1] if why else uri.removeprefix("in/")  # a refused one quotes its place
        found[name] = [row["reason"] for row in rejects if row["item_id"] in (short_id(uri), videos.get(uri))]
    return found


def test_every_bad_file_is_one_row_with_its_reason(kinds: tuple[Path, dict[str, set[str]]]) -> None:
    root, names = kinds
    found = fates(root)
    assert len(names["bad"] | names["flipped"]) >= 200
    passed = {name: found[name] for name in names["bad"] if len(found[name]) != 1 or found[name][0] not in REFUSALS}
    assert passed == {}
    assert found["large.png"] == found["large_png.mp4"] == ["not_a_video"]
    assert found["large.gif"] == ["too_large"]
    assert found["link_to_a_pipe.mp4"] == found["link_to_nothing.mp4"] == ["outside"]


def test_changed_bytes_are_refused_or_decode_to_the_end(kinds: tuple[Path, dict[str, set[str]]]) -> None:
    root, names = kinds
    found = fates(root)
    tally = Counter[str]()
    for name in names["flipped"]:
        (reason,) = found[name]
        tally["refused" if reason in REFUSALS else reason] += 1
        if reason == "no_face":
            assert sum(1 for _ in read_frames(root / "in" / name)) > 0
    assert {*tally} == {"refused", "no_face"}
    assert tally["refused"] >= 0.85 * len(names["flipped"])


def test_healthy_files_among_them_get_through(kinds: tuple[Path, dict[str, set[str]]]) -> None:
    root, names = kinds
    found = fates(root)
    assert found.pop(FACE) == []
    assert {name: found[name] for name in names["healthy"] - {FACE} if found[name] != ["no_face"]} == {}
    counts = {Path(row["uri"]).name: row["n_frames"] for row in Layout(root).read("videos")}
    for name in files.CLIPS:
        assert counts[name] == files.FRAMES == sum(1 for _ in read_frames(root / "in" / name)), name
    assert any(row["status"] == "kept" for row in Layout(root).read("clips"))


def test_nothing_that_a_file_points_to_was_touched(kinds: tuple[Path, dict[str, set[str]]], trap: Trap) -> None:
    assert not trap.touched.is_set()
    for name, options in {  # each would be followed if it were let
        "list0.m3u8": {"protocol_whitelist": "file"},
        "list1.m3u8": {"protocol_whitelist": "file,http,tcp"},
        "reference.mov": {"enable_drefs": "1", "use_absolute_path": "1"},
    }.items():
        with contextlib.suppress(av.error.FFmpegError, OSError):
            av.open(str(kinds[0] / "in" / name), options=options).close()
        assert trap.touched.wait(60), name
        trap.touched.clear()


def test_a_damaged_file_is_refused_by_the_reader_itself(kinds: tuple[Path, dict[str, set[str]]]) -> None:
    root, names = kinds
    for name in sorted(name for name in names["bad"] if not (root / "in" / name).is_symlink()):
        with pytest.raises(ItemError) as caught:
            list(read_frames(root / "in" / name))
        assert caught.value.code in REFUSALS, name
