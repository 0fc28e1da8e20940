"""Files that appear whole or not at all, under exceptions, full disks and SIGKILL."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.artifacts import ItemCache, atomic_dir, atomic_write, digest_of, disk_errors, inside, sha256_file, write_json
from svfr.errors import UserError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_keeps_the_old_content_on_an_exception(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.txt"
    with atomic_write(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text(str(temporary.write_text("half") // 0))
    assert path.read_text() == "old"
    assert _names(path.parent) == ["table.txt"]


def test_atomic_dir_keeps_the_old_folder_on_an_exception(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_dir(path) as temporary:
            (temporary / content).mkdir()
            (temporary / content / "weights").write_text(content)
        assert _names(path) == [content]
    with pytest.raises(ZeroDivisionError), atomic_dir(path) as temporary:
        assert (temporary / "half").write_text("half") // 0
    assert [p.relative_to(path).as_posix() for p in sorted(path.rglob("*"))] == ["new", "new/weights"]
    assert _names(tmp_path) == ["model"]


WRITER = """
import sys, itertools
from pathlib import Path
from svfr.artifacts import atomic_dir, atomic_write
root = Path(sys.argv[1])
for n in itertools.count():
    with atomic_write(root / "file") as temporary:
        temporary.write_bytes(bytes([n % 256]) * 30_000)
    with atomic_dir(root / "folder") as temporary:
        for name in "ab":
            (temporary / name).write_bytes(bytes([n % 256]) * 30_000)
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_old_or_new_never_a_mixture(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()  # both exist from here on
        time.sleep(rng.uniform(0, 0.03))
        writer.kill()
        writer.communicate()
        contents = [(tmp_path / name).read_bytes() for name in ("file", "folder/a", "folder/b")]
        assert [len(content) for content in contents] == [30_000] * 3
        assert all(len(set(content)) == 1 for content in contents)
        assert contents[1] == contents[2]


LIMITED = """
import resource, sys
from pathlib import Path
from svfr.artifacts import ItemCache, atomic_dir, atomic_write
from svfr.errors import UserError
from svfr.tables import reject, write_table
root = Path(sys.argv[1])
rows = [reject("s", str(i), "r", f"{i * 7919 % 100_003}") for i in range(20_000)]

def table(): write_table(root / "rejects.parquet", "rejects", rows)
def cache(): ItemCache(root).put("k" * 64, {"a": bytes(200_000)})
def folder():
    with atomic_dir(root / "folder") as temporary:
        (temporary / "f").write_bytes(bytes(200_000))

for write in (table, cache, folder):
    try:
        write()
    except UserError as error:
        print(error)
    else:
        print("written")
"""


def _refused(lines: list[str], reason: str) -> None:
    assert len(lines) == 3
    assert all(line.startswith("disk full while writing ") and f"({reason})" in line for line in lines)


def test_a_full_file_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "rejects.parquet").write_text("old")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=True)
    _refused(done.stdout.splitlines(), os.strerror(errno.EFBIG))
    assert (tmp_path / "rejects.parquet").read_text() == "old"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["rejects.parquet"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    unshare = [shutil.which("unshare") or "", "--user", "--map-root-user", "--mount"]
    if not unshare[0] or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this system lets no ordinary user mount a small disk")
    script = f'mount -t tmpfs -o size=64k tmpfs "{tmp_path}" && exec "$@"'
    command = [*unshare, "sh", "-c", script, "sh", sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _refused(done.stdout.splitlines(), os.strerror(errno.ENOSPC))


def test_disk_errors_name_the_path_and_let_others_pass(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"disk full while writing out\.mp4"), disk_errors(Path("out.mp4")):
        Path("/dev/full").write_bytes(b"x")
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "nowhere").read_bytes()
    with pytest.raises(UserError, match="no permission to write"), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


PARTS = st.lists(st.sampled_from(["a", "b", "..", ".", "link", "out", "deep", ""]), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(parts=PARTS, lead=st.sampled_from(["", "/", "//"]))
def test_no_relative_path_leaves_its_root(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], lead: str
) -> None:
    base = tmp_path_factory.getbasetemp() / "inside"
    root = base / "root"
    if not root.exists():
        (root / "a" / "deep").mkdir(parents=True)
        (base / "secret").mkdir()
        (root / "link").symlink_to("a")
        (root / "a" / "out").symlink_to(base / "secret")
    relative = lead + "/".join(parts)
    real = Path(os.path.realpath(root / relative))
    leaves = relative.startswith("/") or (real != root and root not in real.parents)
    if leaves:
        with pytest.raises(UserError, match="leaves its folder"):
            inside(root, relative)
    else:
        assert inside(root, relative) == real


@pytest.mark.parametrize("relative", ["a\0b", "loop/file"])
def test_a_path_that_no_system_takes_is_refused(tmp_path: Path, relative: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="leaves its folder"):
        inside(tmp_path, relative)


FILES = {"media.mp4": bytes(range(256)) * 8, "result.json": b'{"rows": []}'}


def test_the_cache_returns_what_was_put(tmp_path: Path) -> None:
    cache = ItemCache(tmp_path)
    key = digest_of(["anything"])
    assert cache.get(key) is None
    cache.put(key, FILES)
    assert cache.get(key) == FILES
    first = sha256_file(cache.path(key))
    cache.put(key, dict(reversed(FILES.items())))
    assert sha256_file(cache.path(key)) == first


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "a member lost": lambda data: data[: 512 + 2048],
    "torn": lambda data: data[:700],
    "tail of zeros": lambda data: data[:1024] + bytes(len(data) - 1024),
    "one bit": lambda data: data[:600] + bytes([data[600] ^ 1]) + data[601:],
    "no tar": lambda data: b"not a tar file at all" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_cache_entry_reads_as_absent(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cache = ItemCache(tmp_path)
    cache.put("k" * 64, FILES)
    path = cache.path("k" * 64)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("k" * 64) is None
    cache.put("k" * 64, FILES)
    assert cache.get("k" * 64) == FILES


def test_json_is_canonical_and_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [0.1, None]})
    write_json(tmp_path / "b.json", {"a": [0.1, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert digest_of({"x": 1, "y": 2}) == digest_of({"y": 2, "x": 1}) != digest_of({"x": 1, "y": 3})
