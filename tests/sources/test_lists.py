"""The published lists of data sets, as small files in their true formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svfr.errors import UserError
from svfr.sources.celebvtext import list_celebvtext
from svfr.sources.entry import Source, refusal
from svfr.sources.fragment import split_uri
from svfr.sources.hub import list_hub
from svfr.sources.vfhq import list_vfhq
from svfr.sources.voxceleb2 import list_voxceleb2

ID = "_raOc3-IRsw"
VFHQ = "H 720\nW 1280\nFPS 25.0\nCROP 320 72 960 712\n"
VOX = (
    "Identity  : \tid00012\nReference : \t_raOc3-IRsw\nOffset    : \t2\nFV Conf   : \t20.230\t(1)\n"
    "ASD Conf  : \t2.765\n\nFRAME \tX \tY \tW \tH \n"
    "000349 \t0.319 \t0.067 \t0.424 \t0.753 \n000350 \t0.300 \t0.067 \t0.424 \t0.800 \n"
)


def parts(rows: list[Source]) -> tuple[list[Source], list[str]]:
    reasons = [refusal(row["uri"]) for row in rows]
    assert {code for code, _ in filter(None, reasons)} <= {"bad_entry"}
    good = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    assert all(row["licence"] and row["source_dataset"] for row in good)
    return good, [reason[1] for reason in reasons if reason]


def test_vfhq(tmp_path: Path) -> None:
    (tmp_path / f"Clip+{ID}+P0+C1+F100-201.txt").write_text(VFHQ)
    (tmp_path / f"Clip+{ID}+P0+C2+F1-9.txt").write_text(VFHQ.replace("1280", "wide"))
    (tmp_path / f"Clip+{ID}+P0+C3+F1-9.txt").write_text("H 720\n")
    (tmp_path / "Clip+short+P0+C3+F1-9.txt").write_text(VFHQ)
    (tmp_path / "notes.txt").write_text("hello")
    good, bad = parts(list_vfhq(tmp_path))
    assert [row["uri"] for row in good] == [f"youtube:{ID}#t=4.02,8.02&xywh=percent:25,10,50,88.8889"]
    assert [line.partition(": ")[2] for line in bad] == [
        "line 2: 'W wide' does not end in numbers",
        "there is no line W or FPS or CROP",
        "'short' is no YouTube id: these are 11 letters, digits, '-' or '_'",
        "the name is not Clip+ID+Pn+Cn+Fa-b.txt",
    ]
    part = split_uri(good[0]["uri"])[1]
    assert part is not None
    frames = [number for number in range(300) if part.start <= number / 25 < part.end]
    assert frames == list(range(101, 201))  # as VFHQ's own script takes them


def test_celebvtext(tmp_path: Path) -> None:
    clip: dict[str, Any] = {
        "ytb_id": ID,
        "duration": {"start_sec": 1.5, "end_sec": 4},
        "bbox": {"top": 0.1, "bottom": 0.9, "left": 0.25, "right": 0.75},
        "version": "v0.1",
    }
    clips = {
        "a_0": clip,
        "b_0": {**clip, "ytb_id": "x"},
        "c_0": {**clip, "duration": {"start_sec": 4, "end_sec": 4}},
        "d_0": {**clip, "bbox": {"top": 0.1}},
        "e_0": "clip",
        "f_0": {**clip, "bbox": {"top": 10, "bottom": 90, "left": 2, "right": 7}},
    }
    path = tmp_path / "info.json"
    path.write_text(json.dumps({"clips": clips}))
    good, bad = parts(list_celebvtext(path))
    assert [row["uri"] for row in good] == [f"youtube:{ID}#t=1.5,4&xywh=percent:25,10,50,80"]
    assert [line[:22] for line in bad] == [f"info.json, clip '{name}_0':"[:22] for name in "bcdef"]
    assert "it has no bbox.left" in bad[2]


def test_voxceleb2(tmp_path: Path) -> None:
    folder = tmp_path / "txt" / "id00012" / ID
    folder.mkdir(parents=True)
    (folder / "00001.txt").write_text(VOX)
    (folder / "00002.txt").write_text(VOX.replace("0.319", "319"))
    (folder / "00003.txt").write_text(VOX.partition("FRAME")[0])
    (folder / "00004.txt").write_bytes(b"\xff\xfe")
    good, bad = parts(list_voxceleb2(tmp_path))
    assert [row["uri"] for row in good] == [f"youtube:{ID}#t=13.94,14.02&xywh=percent:30,6.7,44.3,80"]
    assert [line.partition(".txt: ")[2][:30] for line in bad[:2]] == [
        "line 8: the box is not in shar",
        "there is no line FRAME X Y W H",
    ]
    assert "is not text in UTF-8" in bad[2]


@pytest.mark.parametrize("reader", [list_vfhq, list_voxceleb2])
def test_a_folder_of_something_else_is_one_line(tmp_path: Path, reader: Callable[[Path], list[Source]]) -> None:
    with pytest.raises(UserError, match="it holds no entries"):
        reader(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"1 entries, none of them readable, the first: notes\.txt"):
        reader(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"clips": []}', '{"clips": {}}', '{"clips": {"a": {}}}'])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError) as caught:
        list_celebvtext(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


def test_the_hub_is_named_when_it_is_switched_off() -> None:
    with pytest.raises(UserError, match=r"cannot be listed \(the Hub is switched off: set HF_HUB_OFFLINE=0"):
        list_hub("hf://datasets/owner/name")


def test_the_hub_gives_videos_with_their_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    class Files:
        def find(self, path: str, detail: bool) -> dict[str, dict[str, Any]]:
            found = {"b.MP4": {"lfs": {"sha256": "5" * 64}}, "a.mp4": {}, "README.md": {}, ".gitattributes": {}}
            return {f"{path}/{name}": info for name, info in found.items() if "none" not in path or name[0] == "."}

    monkeypatch.setattr("svfr.sources.hub.fsspec.url_to_fs", lambda uri: (Files(), uri.removeprefix("hf://")))
    listed = list_hub("hf://datasets/o/n@v1/d")
    assert [(row["uri"], row["sha256"]) for row in listed] == [
        ("hf://datasets/o/n@v1/d/a.mp4", ""),
        ("hf://datasets/o/n@v1/d/b.MP4", "5" * 64),
    ]
    with pytest.raises(UserError, match="holds no video among its 1 files"):
        list_hub("hf://datasets/o/none")
