"""The web page: upload, tasks, mask painter, reference photo, progress, cancel, before and after, download."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from svfr.errors import UserError
from svfr.restore.webjob import Cancelled, WebJobs, Wish, frame_of, painted_mask, sentence

CSS = ".gradio-container {width: 100% !important; max-width: 1180px !important; margin: 0 auto !important}"
_LABELS = {"bfr": "Sharpen", "color": "Colour", "inpaint": "Fill holes", "deflicker": "Calm flicker"}


class _Actions:
    """What happens when a visitor does something; jobs are told apart by the visitor's session."""

    def __init__(self, jobs: WebJobs) -> None:
        self.jobs = jobs

    def upload(self, video: str | None) -> tuple[Any, str]:
        """Shows the first frame in the painter, or says what is wrong with the file."""
        if not video:
            return None, ""
        try:
            info = self.jobs.check(Path(video)).info
            first = frame_of(Path(video), 0.0)
        except UserError as error:
            raise gr.Error(str(error)) from None
        text = f"{info.width} x {info.height}, {info.n_frames} frames, {info.duration:.1f} s"
        return {"background": first, "layers": [], "composite": None}, text

    def restore(
        self,
        video: str | None,
        tasks: list[str],
        auto: bool,
        painting: dict[str, Any] | None,
        mask_file: str | None,
        photo: str | None,
        steps: float,
        seed: float,
        request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> Any:
        """Restores, and fills everything on the right; a cancelled job leaves it as it was."""
        if not video:
            raise gr.Error("Upload a video first.")
        with tempfile.TemporaryDirectory(dir=self.jobs.folder) as folder:
            drawn = Path(folder) / "mask.png"
            mask = mask_file or (str(drawn) if painted_mask(painting, drawn) else "")
            if "inpaint" in tasks and not mask and not auto:
                raise gr.Error("Paint the holes to fill, or give a mask file.")
            wish = Wish(tuple(tasks), auto, mask, photo or "", int(steps), int(seed))
            progress(0.0, desc="Looking for faces")
            try:
                target, report = self.jobs.restore(
                    request.session_hash or "", Path(video), wish, lambda share: progress(share, desc="Restoring")
                )
            except Cancelled:
                gr.Info("Cancelled.")
                return gr.skip()
            except (UserError, MemoryError) as error:
                raise gr.Error(str(error), print_exception=False) from None
        both = frame_of(Path(video), 0.5), frame_of(target, 0.5)
        files = [str(target), str(target.with_suffix(".json"))]
        return str(target), both, 50, files, sentence(report), str(target)

    def slide(self, video: str | None, result: str, percent: float) -> Any:
        """The chosen frame, before and after."""
        if not video or not result:
            return None
        return frame_of(Path(video), percent / 100), frame_of(Path(result), percent / 100)

    def cancel(self, request: gr.Request) -> None:
        """Stops this visitor's job."""
        gr.Info("Cancelling" if self.jobs.cancel(request.session_hash or "") else "Nothing is running")


def build_page(jobs: WebJobs) -> Any:
    """The Gradio page in front of `jobs`."""
    actions = _Actions(jobs)
    with gr.Blocks(title="Video face restoration", analytics_enabled=False) as page:
        result = gr.State("")
        gr.Markdown("# Video face restoration\nSize, frame rate and sound are kept; only the faces change.")
        with gr.Row():
            with gr.Column():
                video = gr.Video(label="Video", sources=["upload"], elem_id="upload", height=280)
                about = gr.Markdown(elem_id="about")
                painter, wishes = _wishes(jobs)
                with gr.Row():
                    start = gr.Button("Restore", variant="primary", elem_id="start")
                    stop = gr.Button("Cancel", elem_id="stop")
            with gr.Column():
                slider = gr.ImageSlider(label="Before and after", type="numpy", interactive=False, elem_id="slider")
                place = gr.Slider(0, 100, value=50, step=1, label="Place in the video, %", elem_id="place")
                after = gr.Video(label="Restored", interactive=False, elem_id="after", height=280)
                download = gr.File(label="Download: video and report", interactive=False, elem_id="download")
                note = gr.Markdown(elem_id="note")
        video.change(actions.upload, video, [painter, about], show_progress="hidden")
        outputs = [after, slider, place, download, note, result]
        start.click(actions.restore, [video, *wishes], outputs, show_progress_on=[slider], api_name="restore")
        place.release(actions.slide, [video, result, place], slider, show_progress="hidden", queue=False)
        stop.click(actions.cancel, queue=False)
    return page


def _wishes(jobs: WebJobs) -> tuple[Any, list[Any]]:
    """The painter, and all fields that say what is wanted, in the order that `_Actions.restore` takes them."""
    choices = [(_LABELS[task], task) for task in jobs.tasks]
    tasks = gr.CheckboxGroup(choices, value=jobs.tasks[:1], label="Tasks", elem_id="tasks")
    auto = gr.Checkbox(False, label="Choose for me: colour if it is grey, fill what I painted")
    with gr.Accordion("Holes to fill", open=False):
        painter = gr.ImageEditor(
            label="Paint over them on the first frame",
            type="numpy",
            image_mode="RGBA",
            sources=[],
            transforms=[],
            layers=False,
            brush=gr.Brush(default_size=24, colors=["#ff3b30"], color_mode="fixed"),
            elem_id="painter",
        )
        mask_file = gr.File(label="or a mask: picture or video, white is filled", file_types=["image", "video"])
    with gr.Accordion("A clear photo of the person", open=False):
        photo = gr.Image(label="Photo", type="filepath", sources=["upload"], height=200, elem_id="photo")
    with gr.Accordion("More", open=False):
        steps = gr.Slider(1, 50, value=jobs.steps, step=1, label="Steps")
        seed = gr.Number(77, precision=0, label="Seed")
    return painter, [tasks, auto, painter, mask_file, photo, steps, seed]
