"""The web page: upload, choose tasks, restore, compare. Loopback and a password by default."""

from __future__ import annotations

import importlib.util
import secrets
import tempfile
from pathlib import Path
from typing import Any

import typer

from svfr.errors import UserError
from svfr.restore.ledger import model_digest


def serve_page(model: Path, *, host: str, port: int, token: str, max_mb: int, device: str = "auto") -> None:
    """Serves until interrupted. User name `svfr`, password `token` (made up and printed if empty).

    Raises `UserError` if Gradio is not installed or `model` is no model folder.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the web page needs Gradio, which is not installed: pip install 'svfr[serve]'")
    model_digest(model)
    password = token or secrets.token_urlsafe(16)
    if not token:
        typer.echo(f"user: svfr   password: {password}")
    with tempfile.TemporaryDirectory(prefix="svfr-serve-") as folder:
        page = build_page(model, Path(folder), device)
        page.queue(max_size=8, default_concurrency_limit=1)
        page.launch(
            server_name=host,
            server_port=port,
            auth=("svfr", password),
            max_file_size=max_mb * 2**20,
            share=False,
            allowed_paths=[folder],
            quiet=False,
        )


def build_page(model: Path, folder: Path, device: str) -> Any:
    """The Gradio page; results are written below `folder`."""
    import gradio as gr

    from svfr.restore.model import load_restorer

    restorer = load_restorer(model, device=device)
    able = sorted(restorer.tasks - {"inpaint"})  # the page has no way to give a mask

    def restore(
        video: str | None,
        tasks: list[str],
        seed: float,
        steps: float,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, str]:
        """What the button does: the restored file, the side-by-side file and a line about them."""
        if not video:
            raise gr.Error("Upload a video first.")
        try:
            return restored_upload(Path(video), folder, restorer, tasks, int(seed), int(steps), progress)
        except UserError as error:
            raise gr.Error(str(error)) from None

    with gr.Blocks(title="svfr") as page:
        gr.Markdown("# Video face restoration")
        with gr.Row():
            with gr.Column():
                video = gr.Video(label="Video", sources=["upload"])
                tasks = gr.CheckboxGroup(able, value=able[:1], label="Tasks")
                seed = gr.Number(77, precision=0, label="Seed")
                steps = gr.Slider(1, 50, value=restorer.steps, step=1, label="Steps")
                with gr.Row():
                    start, stop = gr.Button("Restore", variant="primary"), gr.Button("Cancel")
            with gr.Column():
                after = gr.Video(label="Restored", interactive=False)
                pair = gr.Video(label="Before and after", interactive=False)
                note = gr.Markdown()
        job = start.click(restore, [video, tasks, seed, steps], [after, pair, note])
        stop.click(None, cancels=[job])
    return page


def restored_upload(
    video: Path, folder: Path, restorer: Any, tasks: list[str], seed: int, steps: int, progress: Any = None
) -> tuple[str, str, str]:
    """Restores one upload below `folder`; returns the result, the side-by-side video and a sentence about it.

    Raises `UserError` for a bad upload or no task.
    """
    from svfr.params import RestoreOptions
    from svfr.restore.engine import options_with, restore_video
    from svfr.restore.names import Outputs, output_name

    options = options_with(RestoreOptions(), tasks=tasks, seed=seed, steps=steps, detector="mtcnn", contact_sheet=False)
    target = Path(tempfile.mkdtemp(dir=folder)) / output_name(video)

    def show(done: int, total: int) -> None:
        if progress is not None:
            progress(done / max(total, 1))

    report = restore_video(video, target, model=restorer, options=options, progress=show)
    pair = Outputs(target).side_by_side
    sentence = report.message or f"{report.tracks} face tracks in {report.frames} frames, {report.seconds:.0f} s"
    return str(target), str(pair if pair.exists() else target), sentence
