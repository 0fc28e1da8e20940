"""The download stage on a list that names parts, dead links and files that are no video: one fetch, one row each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages import download, faces
from stages.fates import Tables, fates
from stages.layout import Layout
from stages.media import media_path, store_path
from stages.sources import write_sources
from svfr.artifacts import sha256_file
from svfr.params import Params, load_params
from svfr.sample import write
from svfr.tables import Row, read_table
from svfr.video.decode import read_frames

ROOT = Path(__file__).parents[2]


class Server(ThreadingHTTPServer):
    """Serves a folder and counts what is asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.asked: Counter[str] = Counter()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Stays silent."""


@pytest.fixture(autouse=True)
def _ray() -> Iterator[None]:
    """Workers keep the folder in which they were started, and every test has its own."""
    yield
    import ray

    ray.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "web").mkdir()
    with Server(tmp_path / "web") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "in").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


def film(path: Path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "20", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(50):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def params_of(root: Path, **changes: Any) -> Params:
    params = load_params(ROOT / "params.yaml")
    engine = params.engine.model_copy(update={"workers": 1, "cache": str(root / "cache" / "items")})
    section = params.download.model_copy(update={"retries": 0, "timeout": 5.0, **changes})
    return params.model_copy(update={"engine": engine, "download": section})


def run(root: Path, params: Params) -> tuple[dict[str, Row], dict[str, Row]]:
    """The rows by URI, and the rejects by URI."""
    download.run(params, Path())
    layout = Layout(Path())
    rejects = {row["item_id"]: row for row in read_table(layout.rejects("videos"), "rejects")}
    rows = {row["uri"]: row for row in layout.read("videos")}
    found = {fate.uri: fate for fate in fates(Tables.read(layout))}
    assert {uri for uri, fate in found.items() if fate.state == "refused"} == set(found) - set(rows)
    by_uri = {uri: rejects[download.short_id(uri)] for uri in set(found) - set(rows)}
    assert len(by_uri) == len(rejects)
    return rows, by_uri


def test_parts_of_one_video_are_cut_from_one_fetch_and_the_dead_are_tried_again(server: Server, root: Path) -> None:
    film(root.parent / "web" / "v.mp4")
    url, page = server.url("v.mp4"), "youtube:_raOc3-IRsw"
    film(root.parent / "web" / "page-_raOc3-IRsw.mp4", 1)  # a mirror that gives the film at once
    parts = {
        f"{url}#t=0.4,1.2": range(10, 30),
        f"{url}#t=0.4,1.2&xywh=percent:25,10,50,80": range(10, 30),
        f"{url}#t=1.5&xywh=16,12,32,24": range(38, 50),
    }
    bad = {
        f"{url}#t=7,8": "range_outside",
        f"{url}#t=0,1&xywh=32,24,64,48": "region_outside",
        server.url("gone.mp4#t=1,2"): "missing",
        server.url("gone.mp4#t=2,3"): "missing",
    }
    lines = [*parts, *bad, f"{page}#t=0,1", f"{url}#t=2,1"]
    (root / "list.txt").write_text("\n".join(lines))
    write_sources("list.txt", root)
    params = params_of(root, youtube_url=server.url("page-{id}.mp4"))
    rows, refused = run(root, params)
    assert set(rows) == {*parts, f"{page}#t=0,1"}
    malformed = next(uri for uri in refused if uri.startswith("refused:"))
    assert {uri: row["reason"] for uri, row in refused.items()} == {**bad, malformed: "bad_entry"}
    assert refused[malformed]["message"].startswith(f"list.txt, line {len(lines)}: '{url}#t=2,1': 't=2,1' ends before")
    assert server.asked["/v.mp4"] == 1

    whole = [frame.rgb.tobytes() for frame in read_frames(root.parent / "web" / "v.mp4")]
    store = store_path(params.engine)
    for uri, numbers in parts.items():
        media = media_path(store, rows[uri]["sha256"])
        assert sha256_file(media) == rows[uri]["sha256"]
        assert [frame.rgb.tobytes() for frame in read_frames(media)] == [whole[number] for number in numbers]
    whole_frame, face, pixels = (rows[uri] for uri in parts)
    assert [(row["range_start"], row["range_end"], row["region"]) for row in (whole_frame, face, pixels)] == [
        (0.4, 1.2, None),
        (0.4, 1.2, [0.25, 0.1, 0.75, 0.9]),
        (1.5, None, [0.25, 0.25, 0.75, 0.75]),
    ]
    assert whole_frame["sha256"] == face["sha256"]
    assert whole_frame["video_id"] != face["video_id"]
    assert len([path for path in store.rglob("*") if path.is_file()]) == 3  # no whole film, no piece is left

    media_path(store, face["sha256"]).unlink()
    film(root.parent / "web" / "gone.mp4", 2)
    asked, before = server.asked.copy(), {uri: rows[uri] for uri in rows}
    rows, refused = run(root, params)
    assert server.asked - asked == {"/gone.mp4": 1, "/v.mp4": 1}  # the second for the media that was removed
    assert {uri: {**rows[uri], "shard": 0, "offset": 0} for uri in before} == {
        uri: {**row, "shard": 0, "offset": 0} for uri, row in before.items()
    }
    assert rows[server.url("gone.mp4#t=1,2")]["n_frames"] == 25
    assert refused[server.url("gone.mp4#t=2,3")]["reason"] == "range_outside"


def test_every_file_of_a_folder_ends_as_a_row(root: Path) -> None:
    folder = root / "in"
    film(folder / "a#1.mp4")
    film(folder / "b#t=0,1.mp4", 1)
    (folder / "deep").mkdir()
    (folder / "deep" / "notes.doc").write_text("no video")
    (folder / "empty.mp4").touch()
    (folder / ".hidden").write_text("x")
    (root.parent / "secret").write_text("not to be read")
    (folder / "leak.mp4").symlink_to(root.parent / "secret")
    (folder / "leak").symlink_to(root.parent)
    (folder / "again.mp4").symlink_to("a#1.mp4")
    (folder / "broken.mp4").symlink_to("none.mp4")
    (folder / "circle").symlink_to("circle")
    listed = write_sources("in", root)
    assert sha256_file(root.parent / "secret") not in {source["sha256"] for source in listed}
    rows, refused = run(root, params_of(root))
    assert set(rows) == {"in/a#1.mp4", "in/b#t=0,1.mp4"}
    assert Counter(row["reason"] for row in refused.values()) == {
        "outside": 3,
        "missing": 1,
        "empty_file": 1,
        refused["in/deep/notes.doc"]["reason"]: 1,
    }
    assert refused["in/deep/notes.doc"]["reason"] in ("not_a_video", "unreadable")
    said = [row["message"] for row in refused.values() if row["reason"] == "outside"]
    assert all("is a link out of the folder 'in'" in message for message in said)


def test_a_part_of_a_local_file_and_a_whole_of_it(root: Path) -> None:
    film(root / "in" / "a#1.mp4")
    (root / "in" / "list.csv").write_text("uri,licence\na#1.mp4,CC0\na#1.mp4#t=0.5,CC0\n")
    listed = write_sources("in/list.csv", root)
    assert [source["uri"] for source in listed] == ["in/a#1.mp4", "in/a#1.mp4#t=0.5"]
    assert {source["sha256"] for source in listed} == {sha256_file(root / "in" / "a#1.mp4")}
    rows, refused = run(root, params_of(root))
    assert {uri: row["n_frames"] for uri, row in rows.items()} == {"in/a#1.mp4": 50, "in/a#1.mp4#t=0.5": 37}
    assert refused == {}
    assert rows["in/a#1.mp4"]["video_id"] == rows["in/a#1.mp4"]["sha256"][:16]


def test_one_more_video_costs_its_own_work(root: Path) -> None:
    for number in range(29):
        film(root / "in" / f"{number}.mp4", number)
    (root / "in" / "hopper_close.mp4").write_bytes(write._scenes()["hopper_close.mp4"]())
    params = params_of(root)

    def executions() -> Counter[str]:
        write_sources("in", root)
        download.run(params, Path())
        faces.run(params, Path())
        cache = root / "cache" / "items"
        return Counter({stage: len(list((cache / stage).rglob("*.tar"))) for stage in ("download", "faces")})

    assert executions() == {"download": 30, "faces": 30}
    before = {path: path.stat().st_mtime_ns for path in (root / "cache" / "items").rglob("*.tar")}
    film(root / "in" / "one more.mp4", 99)
    assert executions() == {"download": 31, "faces": 31}
    assert {path: path.stat().st_mtime_ns for path in before} == before
