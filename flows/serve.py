"""Serves the three flows as deployments with a schedule, from one long-running process and without a work pool.

`python -m flows.serve` needs a Prefect server (`prefect server start`, or `PREFECT_API_URL` of one that runs).
`prefect.yaml` describes the same deployments for `prefect deploy` and a process work pool.
"""

from __future__ import annotations

from typing import Any

from prefect import serve

from flows.dataset import dataset
from flows.restore import restore
from flows.train import train


def main() -> None:
    """Blocks, and runs what is scheduled or asked for, one run of each flow at a time."""
    deployments: list[Any] = [
        dataset.to_deployment("dataset", cron="0 1 * * *", concurrency_limit=1),
        train.to_deployment("train", cron="0 3 * * 6", concurrency_limit=1),
        restore.to_deployment("restore", cron="*/30 * * * *", concurrency_limit=1),
    ]
    serve(*deployments)


if __name__ == "__main__":
    main()
