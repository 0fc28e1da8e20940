"""Download, faces, score and degrade on sample scenes, as the processes that users run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.layout import Layout
from stages.sources import write_sources
from svfr.artifacts import sha256_file
from svfr.params import load_params
from svfr.sample import write
from svfr.tables import read_table

ROOT = Path(__file__).parents[2]
SCENES = ("collins_close.mp4", "hopper_close.mp4", "coffee_no_face.mp4", "truncated_file.mp4")
STAGES = ("download", "faces", "score", "degrade")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ALL = """
import importlib, sys
from pathlib import Path
from svfr.params import load_params
for name in sys.argv[1:]:
    importlib.import_module(f"stages.{name}").run(load_params(), Path())
print("ray" in sys.modules)
"""


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)


def make(root: Path, scenes: dict[str, bytes], workers: int, params: Path = ROOT / "params.yaml") -> Path:
    (root / "in").mkdir(parents=True)
    for name, data in scenes.items():
        (root / "in" / name).write_bytes(data)
        os.utime(root / "in" / name, (1e9, 1e9))
    sections = yaml.safe_load(params.read_text())
    sections["engine"]["workers"] = workers
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    write_sources("in", root)
    return root


def tables(root: Path) -> dict[str, str]:
    """Digest of everything below data/ but the list of sources."""
    files = [path for path in (root / "data").rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): sha256_file(path) for path in files if path.name != "sources.csv"}


def remove_data(root: Path) -> None:
    for path in sorted((root / "data").rglob("*"), reverse=True):
        if path.name != "sources.csv":
            path.rmdir() if path.is_dir() else path.unlink()


def processes_in(root: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.joinpath("cwd").readlink() == root:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def scenes() -> dict[str, bytes]:
    makers = write._scenes()
    return {name: makers[name]() for name in SCENES}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, scenes: dict[str, bytes]) -> Path:
    """All four stages run with two workers."""
    root = make(tmp_path_factory.mktemp("data") / "two", scenes, workers=2)
    done = python(root, "-c", ALL, *STAGES)
    assert done.returncode == 0, done.stderr
    return root


def rows(layout: Layout, name: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    refused = read_table(layout.rejects(name), "rejects")
    assert all(row["message"] for row in refused)
    return layout.read(name), {row["item_id"]: row["reason"] for row in refused}


def test_every_source_is_accounted_for_and_clips_are_real(project: Path) -> None:
    layout, params = Layout(project), load_params(project / "params.yaml")
    videos, refused = rows(layout, "videos")
    assert sorted(Path(row["uri"]).name for row in videos) == sorted(SCENES[:3])
    assert list(refused.values()) == ["unreadable"]
    assert all(row["fetched_at"] == "2001-09-09T01:46:40+00:00" for row in videos)
    by_id = {row["video_id"]: Path(row["uri"]).name for row in videos}
    for row in videos:
        with (layout.shards("videos") / row["shard"]).open("rb") as shard:
            shard.seek(row["offset"])
            assert shard.read(row["size"]) == (project / row["uri"]).read_bytes()

    clips, refused = rows(layout, "clips")
    assert {by_id.get(item): reason for item, reason in refused.items() if item in by_id} == {
        "coffee_no_face.mp4": "no_face"
    }
    assert {row["clip_id"]: row["reason"] for row in clips if row["status"] == "rejected"} == {
        item: reason for item, reason in refused.items() if item not in by_id
    }
    kept = [row for row in clips if row["status"] == "kept"]
    assert {by_id[row["video_id"]] for row in kept} == set(SCENES[:2])
    for row in kept:
        assert params.faces.min_frames <= row["n_frames"] <= params.faces.max_frames
        assert len(row["points68"]) == len(row["points5"]) == row["n_frames"]
        assert all(0 < value < 1 for frame in row["points5"] for value in frame)
        assert params.faces.alpha_min <= row["alpha_min"] <= row["alpha_max"] <= params.faces.alpha_max
        assert row["motion"] > 0

    scores, refused = rows(layout, "scores")
    assert {row["clip_id"] for row in scores} == {row["clip_id"] for row in kept}
    assert {row["clip_id"] for row in scores if not row["kept"]} == set(refused)

    pairs, refused = rows(layout, "pairs")
    assert refused == {}
    split = {row["clip_id"]: row["split"] for row in pairs}
    assert set(split) == {row["clip_id"] for row in scores if row["kept"]}
    assert set(split.values()) == {"train", "test"}
    people = {(row["identity_id"], row["split"]) for row in pairs}
    assert len(people) == len({identity for identity, _ in people}) == 2
    for clip_id, name in split.items():
        tasks = [(row["bfr"], row["color"], row["inpaint"]) for row in pairs if row["clip_id"] == clip_id]
        views = params.degrade.pairs_per_clip if name == "train" else len(params.degrade.test_tasks)
        assert len(tasks) == views
        assert all(map(any, tasks))


def test_tables_come_back_byte_for_byte_without_any_work(project: Path) -> None:
    before = tables(project)
    remove_data(project)
    next((project / "cache" / "media").glob("??/*")).unlink()  # is fetched again, not examined again
    done = python(project, "-c", ALL, *STAGES)
    assert done.stdout.splitlines()[-1] == "False", done.stderr  # no worker was started
    assert tables(project) == before


def test_one_worker_and_a_killed_run_end_with_the_same_bytes(
    project: Path, tmp_path: Path, scenes: dict[str, bytes]
) -> None:
    root = make(tmp_path / "one", dict(reversed(scenes.items())), 1, project / "params.yaml")
    assert python(root, "-m", "stages.download").returncode == 0
    command = [sys.executable, "-m", "stages.faces"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    faces = subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 300
    while not list(root.glob("cache/items/faces/*/[!.]*.tar")) and time.monotonic() < until:
        assert faces.poll() is None
        time.sleep(0.01)
    os.killpg(faces.pid, signal.SIGKILL)
    faces.wait()
    assert not (root / "data" / "clips" / "clips.parquet").exists()
    while processes_in(root) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes_in(root) == []
    done = python(root, "-c", ALL, *STAGES[1:])
    assert done.stdout.splitlines()[-1] == "True", done.stderr
    assert tables(root) == tables(project)


def test_nothing_usable_is_one_line(tmp_path: Path, scenes: dict[str, bytes]) -> None:
    root = make(tmp_path / "bad", {"truncated_file.mp4": scenes["truncated_file.mp4"]}, workers=1)
    done = python(root, "-m", "stages.download")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: download: nothing is left to go on with (unreadable 1); "
        "every refusal is a row of data/videos/rejects.parquet"
    )
    assert "Traceback" not in done.stderr
    done = python(root, "-m", "stages.score")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: data/clips/clips.parquet is missing: run the stage")


def test_a_damaged_shard_costs_rows_until_it_is_made_again(project: Path) -> None:
    shard = next(Layout(project).shards("clips").iterdir())
    whole, scores = shard.read_bytes(), tables(project)["data/scores/scores.parquet"]
    for entry in (project / "cache" / "items" / "score").rglob("*.tar"):
        entry.unlink()
    shard.write_bytes(bytes(len(whole)))
    done = python(project, "-m", "stages.score")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: score: nothing is left to go on with (unreadable ")
    shard.write_bytes(whole)
    assert python(project, "-m", "stages.score").returncode == 0
    assert tables(project)["data/scores/scores.parquet"] == scores
