"""The main job from end to end: sources, data set, training, registration, restored videos, report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prefect import flow

from flows.child import run_child
from flows.dataset import dataset
from flows.entry import call
from flows.restore import restore
from flows.train import train


@flow(name="pipeline", log_prints=True)
def pipeline(sources: str = "", source: str = "", root: str = ".") -> None:
    """Runs everything on `sources`, then restores the videos of `source`, then writes `reports/index.html`.

    Without `sources` the sample set is made and used, and its degraded videos are the ones restored; with them, the
    sources themselves are restored unless `source` says otherwise.
    """
    if not sources:
        run_child([sys.executable, "-m", "svfr.cli", "sample", "data/sample", "--old", "data/old"], Path(root))
    dataset(sources or "data/sample", root)
    train(root)
    restore(source or sources or "data/old", "restored", root=root)
    run_child([sys.executable, "-m", "stages.report"], Path(root))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=pipeline.description)
    parser.add_argument("--sources", default="", help="folder, list or video; default: the sample set")
    parser.add_argument("--restore", dest="source", default="", help="videos to restore; default: the sources")
    call(pipeline, **vars(parser.parse_args()))
