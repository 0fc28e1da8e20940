"""The faces stage on real clips: who is kept, and who is refused for which reason."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from stages.layout import Layout
from stages.sources import write_sources
from svfr.tables import read_table

ROOT = Path(__file__).parents[2]
CLIPS = ROOT.parent / "shared" / "data" / "clips"
pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not CLIPS.is_dir(), reason="the folder of real clips is not there"),
]

REFUSED = {  # every clip of these falls for one of these reasons
    "snap-research-6fHASe.mp4": {"no_face"},
    "snap-research-GTPU6R.mp4": {"no_face"},
    "snap-research-vE7ciK.mp4": {"no_face"},
    "pytorch-nasa_13013.mp4": {"no_face"},
    "cleardusk-obama.mp4": {"side_face"},
    "snap-research-YemkZ7.mp4": {"side_face"},
    "KwaiVGI-0psDrM.mp4": {"frozen", "cut_inside", "too_short"},  # a cartoon
    "snap-research-h4RJ0K.mp4": {"small_face", "too_short"},
}
SOME = {"datajuicer-video3.mp4": "text", "ageitgey-short_hamilton.mp4": "side_face"}  # besides clips that are kept
TALKING = 6  # of them, to save time


def test_talking_people_are_kept_and_the_others_fall_for_the_right_reason(tmp_path: Path) -> None:
    with (CLIPS / "manifest.csv").open(encoding="utf-8") as file:
        groups = {row["file"]: row["group"] for row in csv.DictReader(file)}
    talking = [name for name, group in groups.items() if group == "talking"][:TALKING]
    wanted = {*talking, *REFUSED, *SOME}
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    sections["faces"]["max_clips_per_track"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    (tmp_path / "list.txt").write_text("".join(f"{CLIPS / name}\n" for name in sorted(wanted)))
    write_sources("list.txt", tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for stage in ("download", "faces"):
        subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=tmp_path, env=environment, check=True)
    layout = Layout(tmp_path)
    names = {row["video_id"]: Path(row["uri"]).name for row in layout.read("videos", ["video_id", "uri"])}
    found: dict[str, set[str]] = defaultdict(set)
    for clip in layout.read("clips", ["video_id", "status", "reason"]):
        found[names[clip["video_id"]]].add(clip["reason"] or clip["status"])
    for row in read_table(layout.rejects("clips"), "rejects"):
        if row["item_id"] in names:
            found[names[row["item_id"]]].add(row["reason"])
    assert set(found) == wanted
    assert [name for name in talking if "kept" not in found[name]] == []
    assert {name: found[name] - reasons for name, reasons in REFUSED.items() if found[name] - reasons} == {}
    assert {name for name, reason in SOME.items() if reason not in found[name]} == set()
