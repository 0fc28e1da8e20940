"""What the user names becomes one list of sources, whatever form it was named in."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from stages.sources import COLUMNS, read_sources, write_sources
from svfr.artifacts import sha256_bytes
from svfr.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project beside a folder of videos that lies outside it."""
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "b.MP4").write_bytes(b"b")
    (tmp_path / "outside" / "deep" / "ä b#1.mov").write_bytes(b"a")
    (tmp_path / "outside" / "notes.doc").write_bytes(b"no video")
    (tmp_path / "project" / "in").mkdir(parents=True)
    (tmp_path / "project" / "in" / "own.mkv").write_bytes(b"own")
    return tmp_path / "project"


def test_a_folder_lists_its_files_by_digest_and_place(root: Path) -> None:
    outside = root.parent / "outside"
    listed = write_sources(str(outside), root)
    assert [(s["uri"], s["sha256"]) for s in listed] == [
        (str(outside / "b.MP4"), sha256_bytes(b"b")),
        (str(outside / "deep" / "ä b#1.mov"), sha256_bytes(b"a")),
        (str(outside / "notes.doc"), sha256_bytes(b"no video")),  # refused later, by what it holds
    ]
    assert read_sources(root / "data" / "sources.csv") == listed
    assert [s["uri"] for s in write_sources("in", root)] == ["in/own.mkv"]
    assert [s["uri"] for s in write_sources("in/own.mkv", root)] == ["in/own.mkv"]
    assert [s["uri"] for s in write_sources(str(root / "in"), root)] == ["in/own.mkv"]


def test_a_list_may_hold_addresses_absolute_and_relative_paths(root: Path) -> None:
    far = "https://example.org/v.mp4?x=1#t"
    lines = ["# a comment", "", "own.mkv", "  # another", f" {root.parent}/outside/b.MP4 ", far, "own.mkv", "gone.mp4"]
    lines.append((root.parent / "outside" / "deep" / "ä b#1.mov").as_uri())
    (root / "in" / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    listed = {s["uri"]: s["sha256"] for s in write_sources("in/list.txt", root)}
    assert listed == {
        "in/own.mkv": sha256_bytes(b"own"),
        "in/gone.mp4": "",
        f"{root.parent}/outside/b.MP4": sha256_bytes(b"b"),
        f"{root.parent}/outside/deep/ä b#1.mov": sha256_bytes(b"a"),
        far: "",
    }
    assert list(listed) == sorted(listed)


def test_a_csv_keeps_licence_and_digest_and_a_folder_prefers_its_own(root: Path) -> None:
    table = "uri,licence,ignored,sha256\nown.mkv,CC0,x,\nhttps://h/v.mp4,,x,abc\n,CC0,,\n"
    (root / "in" / "sources.csv").write_text(table, encoding="utf-8-sig")
    for given in ("in", "in/sources.csv"):
        assert write_sources(given, root) == [
            {"uri": "https://h/v.mp4", "sha256": "abc", "licence": "", "source_dataset": ""},
            {"uri": "in/own.mkv", "sha256": sha256_bytes(b"own"), "licence": "CC0", "source_dataset": ""},
        ]


def test_an_unchanged_list_is_not_written_again(root: Path) -> None:
    write_sources("in", root)
    target = root / "data" / "sources.csv"
    os.utime(target, (1, 1))
    write_sources("in", root)
    assert target.stat().st_mtime == 1
    (root / "in" / "own.mkv").write_bytes(b"changed")
    write_sources("in", root)
    assert target.stat().st_mtime != 1


def test_nothing_to_list_is_one_line(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "empty" / ".hidden.mp4").touch()
    (root / "none.txt").write_text("# nothing\n")
    (root / "none.csv").write_text("uri\n")
    (root / "other.csv").write_text("path,licence\na.mp4,\n")
    (root / "latin.txt").write_bytes(b"caf\xe9.mp4\n")
    (root / "in" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"x")
    for given, said in {
        "": "no sources are named: give a folder",
        "missing": "no sources at 'missing'",
        "empty": "'empty' lists no videos: put videos there, or name another place",
        "none.txt": "'none.txt' lists no videos",
        "none.csv": "'none.csv' lists no videos",
        "other.csv": "has no column 'uri'; its columns are path, licence",
        "latin.txt": "is not text in UTF-8",
        "in": "is not UTF-8: rename the file",
    }.items():
        with pytest.raises(UserError) as caught:
            write_sources(given, root)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (root / "data").exists()


def test_reading_a_list_that_is_none(root: Path) -> None:
    path = root / "sources.csv"
    with pytest.raises(UserError, match="is missing: make it with"):
        read_sources(path)
    path.write_text("uri,licence\na,b\n")
    with pytest.raises(UserError, match=r"has the columns \['uri', 'licence'\], expected uri, sha256"):
        read_sources(path)
    with path.open("w", newline="") as file:
        csv.writer(file).writerow(COLUMNS)
    with pytest.raises(UserError, match="is empty: name sources with"):
        read_sources(path)
