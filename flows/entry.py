"""What every `python -m flows.<name>` does around its flow: show errors as one line, the last one."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from svfr.errors import UserError


def call(flow: Callable[..., Any], **arguments: Any) -> None:
    """Runs `flow`; a `UserError` anywhere in it ends the process with one line and exit status 2.

    SIGTERM ends it by an ordinary exit with status 143: Prefect stops the server that it started only at such a one.
    """
    signal.signal(signal.SIGTERM, _exit)
    try:
        flow(**arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for worker in ("EventsWorker", "APILogWorker"):  # they deliver what is left at exit, and warn that they do
            logging.getLogger(worker).setLevel(logging.ERROR)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
