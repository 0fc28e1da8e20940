"""The ledger, and what a second run does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from svfr.errors import UserError
from svfr.restore import Restorer
from svfr.restore.batch import plan, restore_one
from svfr.restore.engine import options_with
from svfr.restore.inputs import Input, read_inputs
from svfr.restore.ledger import media_digest, model_digest, settings_of
from svfr.restore.names import Outputs, inputs_of, output_name


@pytest.fixture
def folder(tmp_path: Path, kit: SimpleNamespace) -> Path:
    (tmp_path / "in").mkdir()
    kit.write_video(tmp_path / "in" / "face.mp4", kit.face_frames(6))
    kit.write_video(tmp_path / "in" / "cup.mp4", kit.scenery(4))
    (tmp_path / "in" / "bad.mp4").write_text("no video")
    return tmp_path / "in"


def test_a_second_run_has_nothing_to_do_until_something_changes(
    folder: Path, tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    out, options = tmp_path / "out", kit.options
    first = plan(read_inputs(folder), out, restorer.digest, options)
    assert [order.name for order in first.todo] == ["bad.mp4", "cup.mp4", "face.mp4"]
    reports = [restore_one(order, restorer) for order in first.todo]
    assert [(r.status, r.reason) for r in reports] == [
        ("refused", "unreadable"),
        ("passed_through", "no_face"),
        ("restored", ""),
    ]
    again = plan(read_inputs(folder), out, restorer.digest, options)
    assert again.todo == []
    assert [(r.status, r.skipped) for r in again.done] == [(r.status, True) for r in reports]

    def todo(digest: str = restorer.digest, **changes: object) -> list[str]:
        return [o.name for o in plan(read_inputs(folder), out, digest, options_with(options, **changes)).todo]

    assert len(todo(steps=3)) == len(todo("0" * 64)) == 3
    (out / "face.mp4").write_bytes((out / "face.mp4").read_bytes()[:-1])
    (out / "cup.mp4").unlink()
    assert todo() == ["cup.mp4", "face.mp4"]
    (folder / "bad.mp4").write_text("still no video")
    assert todo() == ["bad.mp4", "cup.mp4", "face.mp4"]


def test_a_failure_is_a_row_and_is_tried_again(
    folder: Path, tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".svfr").write_text("in the way of the ledger's folder")
    face = Input(folder / "face.mp4", "face.mp4")
    report = restore_one(plan([face], tmp_path / "out", restorer.digest, kit.options).todo[0], restorer)
    assert (report.status, report.reason) == ("failed", "error")
    assert ".svfr" in report.message
    assert len(plan([face], tmp_path / "out", restorer.digest, kit.options).todo) == 1


def test_settings_hold_the_content_of_files_not_their_place(tmp_path: Path, kit: SimpleNamespace) -> None:
    (tmp_path / "a.png").write_bytes(b"same")
    (tmp_path / "b.png").write_bytes(b"same")
    a, b = (settings_of(options_with(kit.options, mask=str(tmp_path / name))) for name in ("a.png", "b.png"))
    assert a == b
    with pytest.raises(UserError, match="mask file"):
        settings_of(options_with(kit.options, mask=str(tmp_path / "c.png")))


def test_names() -> None:
    assert output_name(Path("a.mp4")) == "a.mp4"
    assert output_name(Path("a.avi")) == "a.avi.mkv"
    assert output_name(Path("a.webm")) == "a.webm.mkv"
    assert output_name(Path("a.webm"), "libvpx-vp9") == "a.webm"
    assert Outputs(Path("o/a.mp4")).side_by_side == Path("o/side_by_side/a.mp4")
    assert Outputs(Path("o/a.mp4")).work("k") != Outputs(Path("o/b.mp4")).work("k")  # copies of one video


def test_digests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder"):
        model_digest(tmp_path)
    (tmp_path / "1.png").write_bytes(b"x")
    before = media_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("not a picture")
    assert media_digest(tmp_path) == before
    (tmp_path / "2.png").write_bytes(b"y")
    assert media_digest(tmp_path) != before
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no video"):
        inputs_of(tmp_path / "empty")
