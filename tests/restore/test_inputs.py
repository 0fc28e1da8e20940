"""Folders, lists and manifests."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.restore.batch import plan
from svfr.restore.inputs import Input, is_collection, read_inputs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a/clip.mp4", "b/clip.mp4", "other.mov", "mask.png", "me.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_list_holds_paths_and_remarks(root: Path) -> None:
    (root / "todo.txt").write_text(f"# old films\na/clip.mp4\n\n{root}/b/clip.mp4\nother.mov\n")
    assert is_collection(root / "todo.txt")
    assert read_inputs(root / "todo.txt") == [
        Input(root / "a/clip.mp4", "a__clip.mp4"),
        Input(root / "b/clip.mp4", "b__clip.mp4"),
        Input(root / "other.mov", "other.mov"),
    ]


def test_rows_of_a_manifest_have_options_of_their_own(root: Path) -> None:
    header = "path,output,tasks,mask,reference\n"
    (root / "m.csv").write_text(header + 'a/clip.mp4,x/new.mp4,"bfr,inpaint",mask.png,me.jpg;2=me.jpg\nother.mov,,,,\n')
    first, second = read_inputs(root / "m.csv")
    assert first.changes == {
        "tasks": ["bfr", "inpaint"],
        "mask": str(root / "mask.png"),
        "reference": [str(root / "me.jpg"), f"2={root / 'me.jpg'}"],
    }
    work = plan([first, second], root / "out", "0" * 64, RestoreOptions(steps=9))
    assert [order.destination for order in work.todo] == [root / "out/x/new.mp4", root / "out/other.mov"]
    assert [order.options.tasks for order in work.todo] == [["bfr", "inpaint"], ["bfr"]]
    assert {order.options.steps for order in work.todo} == {9}


def test_parquet(root: Path) -> None:
    pq.write_table(pa.table({"uri": ["other.mov"], "tasks": ["color"]}), root / "m.parquet")
    assert read_inputs(root / "m.parquet") == [Input(root / "other.mov", "other.mov", "", {"tasks": ["color"]})]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "path\n../secret.mp4\n", "leaves its folder"),
        ("m.csv", "name\nx\n", "needs a column path"),
        ("m.csv", "path\n", "names no input"),
        ("m.parquet", "no parquet", "cannot be read as a manifest"),
        ("l.txt", "a/clip.mp4\na/clip.mp4\n", "more than once"),
    ],
)
def test_bad_collections_are_named(root: Path, name: str, text: str, message: str) -> None:
    (root / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_inputs(root / name)


def test_a_row_that_cannot_begin_is_a_failed_report(root: Path) -> None:
    (root / "m.csv").write_text("path,tasks,output\nother.mov,sharpen,\nnone.mp4,,\na/clip.mp4,,../out.mp4\n")
    work = plan(read_inputs(root / "m.csv"), root / "out", "0" * 64, RestoreOptions())
    assert work.todo == []
    assert [(r.status, r.reason) for r in work.done] == [
        ("failed", "setup"),
        ("failed", "missing"),
        ("failed", "setup"),
    ]
    assert "sharpen" in work.done[0].message
