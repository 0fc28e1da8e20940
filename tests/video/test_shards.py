"""Tar shards: random access, limits, equal layout, and no way out of their folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.errors import ItemError, UserError
from svfr.video.shards import ShardRef, ShardWriter, read_member


def _write(root: Path, samples: list[bytes], limit: int = 20_000) -> list[ShardRef]:
    with ShardWriter(root, "clips", limit) as writer:
        return [writer.add(f"{i:04d}", {"mp4": data, "json": b"{}"}) for i, data in enumerate(samples)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=9000), min_size=1, max_size=8))
def test_every_member_is_found_by_its_address(tmp_path_factory: pytest.TempPathFactory, samples: list[bytes]) -> None:
    root = tmp_path_factory.mktemp("shards")
    refs = _write(root, samples)
    assert [read_member(root, ref.shard, ref.offset, ref.size) for ref in refs] == samples
    for shard in root.iterdir():
        with tarfile.open(shard) as tar:
            assert all((m.mtime, m.uid, m.gid, m.uname) == (0, 0, 0, "") for m in tar)


def test_shards_stay_below_their_limit_and_hold_whole_samples(tmp_path: Path) -> None:
    refs = _write(tmp_path, [bytes(6000)] * 7)
    names = sorted({ref.shard for ref in refs})
    assert names == ["clips-000000.tar", "clips-000001.tar", "clips-000002.tar", "clips-000003.tar"]
    for name in names:
        with tarfile.open(tmp_path / name) as tar:
            members = tar.getnames()
        assert len(members) % 2 == 0
        assert sum(1 for m in members if m.endswith("mp4")) <= 2


def test_the_layout_repeats(tmp_path: Path) -> None:
    samples = [bytes([i]) * 700 * i for i in range(12)]
    assert _write(tmp_path / "a", samples) == _write(tmp_path / "b", samples)
    for shard in (tmp_path / "a").iterdir():
        assert shard.read_bytes() == (tmp_path / "b" / shard.name).read_bytes()


def test_webdataset_reads_them(tmp_path: Path) -> None:
    import webdataset

    _write(tmp_path, [b"one", b"two"])
    found = list(webdataset.WebDataset(str(tmp_path / "clips-000000.tar"), shardshuffle=False))
    assert [(sample["__key__"], sample["mp4"]) for sample in found] == [("0000", b"one"), ("0001", b"two")]


def test_a_file_is_stored_like_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"some bytes")
    with ShardWriter(tmp_path / "s", "videos", 1 << 20) as writer:
        ref = writer.add("key", {"bin": tmp_path / "source"})
    assert read_member(tmp_path / "s", ref.shard, ref.offset, ref.size) == b"some bytes"


def _stopped_in_the_third_shard(root: Path) -> None:
    with ShardWriter(root, "clips", 20_000) as writer:
        for i in range(5):
            writer.add(str(i), {"mp4": bytes(8000)})
        raise InterruptedError


def test_an_unfinished_shard_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        _stopped_in_the_third_shard(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips-000000.tar", "clips-000001.tar"]


def test_addresses_outside_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.tar").symlink_to(tmp_path / "secret")
    for shard in ("../secret", str(tmp_path / "secret"), "link.tar"):
        with pytest.raises(UserError, match="leaves"):
            read_member(tmp_path / "root", shard, 0, 3)
    ref = _write(tmp_path / "root", [b"x"])[0]
    for shard, offset, size in ((ref.shard, 1 << 30, 5), (ref.shard, -1, 5), ("absent.tar", 0, 5)):
        with pytest.raises(ItemError):
            read_member(tmp_path / "root", shard, offset, size)


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "twice"])
def test_keys_that_would_not_come_back_are_refused(tmp_path: Path, key: str) -> None:
    with ShardWriter(tmp_path, "clips", 20_000) as writer:
        writer.add("twice", {"mp4": b"x"})
        with pytest.raises(UserError, match="shard key"):
            writer.add(key, {"mp4": b"x"})
