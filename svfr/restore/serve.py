"""Serves the web page. Loopback and a password by default, uploads bounded in size and length, one job at a time."""

from __future__ import annotations

import importlib.util
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer

from svfr.errors import UserError
from svfr.restore.ledger import model_digest

_WAITING = 8  # jobs that may stand in the queue; more are told to come back


@dataclass(frozen=True)
class ServeLimits:
    """What an upload may be: `max_mb` of bytes, `max_seconds` of video. Results older than `keep_hours` are removed."""

    max_mb: int = 512
    max_seconds: float = 600.0
    keep_hours: float = 24.0


def serve_page(
    model: Path,
    *,
    host: str,
    port: int,
    token: str,
    limits: ServeLimits = ServeLimits(),
    device: str = "auto",
    detector: str = "mtcnn",
) -> None:
    """Serves until interrupted. User name `svfr`, password `token` (made up and printed if empty).

    Raises `UserError` if Gradio is not installed, `model` is no model folder, or the port is taken.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the web page needs Gradio, which is not installed: pip install 'svfr[serve]'")
    model_digest(model)
    from svfr.restore.model import load_restorer
    from svfr.restore.webjob import WebJobs
    from svfr.restore.webpage import CSS, build_page

    password = token or secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="svfr-serve-") as folder:
        jobs = WebJobs(load_restorer(model, device=device), model, Path(folder), limits, detector)
        page = build_page(jobs)
        page.queue(max_size=_WAITING, default_concurrency_limit=1)
        if not token:
            typer.echo(f"user: svfr   password: {password}")
        try:
            page.launch(
                server_name=host,
                server_port=port,
                auth=("svfr", password),
                max_file_size=limits.max_mb * 2**20,
                allowed_paths=[folder],
                share=False,
                css=CSS,
                footer_links=[],
            )
        except OSError as error:
            raise UserError(f"port {port} on {host} cannot be used ({error}): choose another with --port") from None
