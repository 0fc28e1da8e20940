"""Sources to training pairs: list, download, faces, score, degrade; and a page of the degradations."""

from __future__ import annotations

import argparse
from pathlib import Path

from prefect import flow

from flows.entry import call
from flows.stage import stage
from stages.sources import write_sources

STAGES = ("download", "faces", "score", "curation", "degrade", "gallery")


@flow(name="dataset", log_prints=True)
def dataset(sources: str = "data/sample", root: str = ".") -> int:
    """Lists `sources` (a folder, a .csv or .txt list, one video) and runs the data stages; returns their number."""
    folder = Path(root)
    count = len(write_sources(sources, folder))
    for name in STAGES:
        # a failed download is worth another try, the others are deterministic
        stage.with_options(retries=2 if name == "download" else 0, retry_delay_seconds=10)(name, folder)
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=dataset.description)
    parser.add_argument("--sources", default="data/sample", help="folder, .csv or .txt list, or one video")
    arguments = parser.parse_args()
    call(dataset, sources=arguments.sources)
