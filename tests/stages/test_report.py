"""The report page: every source with its fate, every part optional, nothing loaded from elsewhere."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from eval_project import clip_row, empty_row, eval_params, pair_row

from stages.fates import Tables, fates
from stages.layout import Layout
from stages.report import _filesize, _number, build_report
from stages.report_figures import loss_curves
from svfr.artifacts import short_id, write_json
from svfr.tables import VIDEOS, reject

URIS = [f"clips/{name}.mp4" for name in ("good", "mixed", "turned", "empty", "broken", "twin", "scored", "late")]


def _video(uri: str) -> dict[str, Any]:
    row = empty_row(VIDEOS)
    row |= {"video_id": short_id(["v", uri]), "uri": uri, "width": 640, "height": 480, "bytes": 123456}
    return row | {"vfr": False, "has_audio": True, "duration": 4.0, "n_frames": 100}


def _clip(number: int, uri: str, reason: str = "") -> dict[str, Any]:
    row = clip_row(f"c{number}", "", 0, 0) | {"video_id": short_id(["v", uri]), "reason": reason}
    return row | {"status": "rejected" if reason else "kept", "n_frames": 6}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Eight sources of which no two met the same fate."""
    layout = Layout(tmp_path)
    lines = "".join(f"{uri},,,\n" for uri in URIS)
    (tmp_path / "data").mkdir()
    layout.sources.write_text("uri,sha256,licence,source_dataset\n" + lines)
    lost = [
        reject("download", short_id("clips/broken.mp4"), "truncated", "ends <early>"),
        reject("download", short_id("clips/twin.mp4"), "duplicate", "same content"),
    ]
    layout.write("videos", [_video(uri) for uri in URIS if "broken" not in uri and "twin" not in uri], lost)
    clips = [_clip(0, URIS[0]), _clip(1, URIS[1]), _clip(2, URIS[1], "text"), _clip(3, URIS[2], "side_face")]
    clips += [_clip(4, URIS[6]), _clip(5, URIS[7])]
    turned = reject("faces", "c3", "side_face", "alpha 0.2 leaves [0.4, 2.5]")
    none = reject("faces", short_id(["v", "clips/empty.mp4"]), "no_face", "no face was found")
    layout.write("clips", clips, [turned, none, reject("faces", "c2", "text", "too much")])
    layout.write("scores", [], [reject("score", "c4", "low_quality", "piqe 80 is above 50")])
    layout.write("pairs", [pair_row("c0", 0, "train"), pair_row("c0", 1, "train"), pair_row("c1", 0, "test")], [])
    return layout


def test_every_source_has_exactly_one_fate(layout: Layout) -> None:
    found = {fate.uri: fate for fate in fates(Tables.read(layout))}
    assert list(found) == URIS
    expected = {
        "good": ("used", "1 clip used"),
        "mixed": ("used", "1 clip used, 1 refused"),
        "turned": ("refused", "every clip refused: side_face (1)"),
        "empty": ("refused", "no_face: no face was found"),
        "broken": ("refused", "truncated: ends <early>"),
        "twin": ("refused", "duplicate: same content"),
        "scored": ("refused", "every clip refused: low_quality (1)"),
        "late": ("open", "waits for the next stage"),
    }
    assert {Path(uri).stem: (fate.state, fate.what) for uri, fate in found.items()} == expected
    assert [(clip.state, clip.what) for clip in found["clips/mixed.mp4"].clips] == [
        ("used", "test, 1 degraded view"),
        ("refused", "text: too much"),
    ]


def test_refusals_are_counted_in_order_of_the_stages(layout: Layout) -> None:
    refusals = Tables.read(layout).refusals()
    assert [stage for stage, _, _ in refusals] == ["download", "download", "faces", "faces", "faces", "score"]
    assert ("faces", "no_face", 1) in refusals


class _Page(HTMLParser):
    """Collects addresses and checks that tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(page: Path) -> _Page:
    parsed = _Page()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert not parsed.open
    return parsed


def test_the_page_lists_every_source_and_escapes_what_others_wrote(layout: Layout) -> None:
    page = _read(build_report(layout, eval_params(layout.root)))
    for uri in URIS:
        assert uri in page.text
    assert "ends <early>" in page.text
    assert "<early>" not in (layout.reports / "index.html").read_text()
    assert "No model has been evaluated yet" in page.text


def test_an_empty_project_still_gives_a_page(tmp_path: Path) -> None:
    page = _read(build_report(Layout(tmp_path), eval_params(tmp_path)))
    assert "0 sources" in page.text


def _whole(layout: Layout) -> None:
    """Adds the reports of the stages behind the tables."""
    psnr = {"model": 29.0, "degraded": 27.5, "classical": 27.75, "gain": 1.5, "pairs": 4}
    write_json(layout.reports / "eval" / "metrics.json", {"bfr": {"psnr": psnr}})
    about = {"psnr": {"backend": "rgb", "unit": "dB", "higher_is_better": True, "network_sha256": ""}}
    protocol = {"pairs": 4, "clips": 2, "people": 1, "definition": "mean over frames", "metrics": about}
    protocol |= {"not_available": {"lpips": "models/weights/alexnet.pth is missing"}}
    write_json(layout.reports / "eval" / "protocol.json", protocol)
    for name in ("contact_sheet", "psnr"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(layout.reports / "eval" / f"{name}.png")
    write_json(layout.reports / "train" / "metrics.json", {"steps": 40, "loss": 0.123456})
    rows = "".join(f"{step},{1 / step:.4f},{0.5 if step % 10 == 0 else ''}\n" for step in range(1, 41))
    (layout.reports / "train" / "history.csv").write_text("step,loss,val_loss\n" + rows)
    told = {"name": "svfr", "version": 3, "champion": 3, "is_champion": True, "why": "better", "value": 29.0}
    told |= {"metric": "bfr/psnr", "model_sha256": "ab" * 32, "run_id": "r", "source": "runs:/r/svfr"}
    write_json(layout.reports / "register.json", told | {"tracking_uri": "sqlite:///mlflow.db"})
    file = {"input": "old.mp4", "status": "restored", "output": "old.mp4", "message": "", "frames": 5, "faces": 1}
    summary = {"restored": 1, "passed_through": 0, "refused": 0, "failed": 0}
    write_json(layout.root / "restored" / "report.json", {"summary": summary, "files": [file | {"seconds": 2.0}]})


def test_a_whole_run_is_one_self_contained_page(layout: Layout) -> None:
    _whole(layout)
    page = _read(build_report(layout, eval_params(layout.root)))
    for text in (
        "1.50 dB better than the degraded input",
        "27.75",
        "alexnet.pth is missing",
        "ab" * 32,
        "0.1235",
        "challenger",
    ):
        assert text in page.text
    pictures = [address for address in page.addresses if address.startswith("data:image/png;base64,")]
    assert len(pictures) == 3
    others = [address for address in page.addresses if address not in pictures]
    assert "../restored/old.mp4" in others
    assert all(re.match(r"#|\.\./restored/", address) for address in others)


def test_a_damaged_part_is_named_and_left_out(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    _whole(layout)
    (layout.reports / "register.json").write_text("{")
    page = _read(build_report(layout, eval_params(layout.root)))
    assert "register.json is damaged" in capsys.readouterr().err
    assert "ab" * 32 not in page.text


def test_loss_curves_need_losses(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text("step,lr\n1,0.1\n")
    assert not loss_curves(history, tmp_path / "loss.png")
    history.write_text("step,loss,ulr,val_loss\n1,2.0,,\n2,1.0,0.5,0.7\n")
    assert loss_curves(history, tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.size[0] > picture.size[1]


def test_numbers_are_read_easily() -> None:
    assert [_number(v) for v in (40.0, 1234567, 0.123456, 12345.6)] == ["40", "1,234,567", "0.1235", "12,346"]
    assert [_filesize(v) for v in (12, 2500, 123456789)] == ["12 B", "2 kB", "123.5 MB"]
