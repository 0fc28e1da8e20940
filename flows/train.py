"""Training pairs to registered models of both families: base, encode, train, evaluate, register."""

from __future__ import annotations

import argparse
from pathlib import Path

from prefect import flow

from flows.entry import call
from flows.stage import stage

STAGES = ("base", "encode", "train", "stc_vqgan", "stc", "evaluate", "register", "register_stc")
TRAINING = ("train", "stc_vqgan", "stc")


@flow(name="train", log_prints=True)
def train(root: str = ".") -> None:
    """Runs the model stages. An interrupted training goes on from its last checkpoint."""
    folder = Path(root)
    for name in STAGES:
        stage.with_options(retries=1 if name in TRAINING else 0, retry_delay_seconds=10)(name, folder)


if __name__ == "__main__":
    argparse.ArgumentParser(description=train.description).parse_args()
    call(train)
