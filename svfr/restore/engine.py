"""Restores one file, start to end, in bounded memory, and reports what became of it."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from svfr.artifacts import disk_errors
from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.restore.job import Job, JobResult
from svfr.restore.ledger import job_key, media_digest, settings_of, write_record
from svfr.restore.measure import identity_distance, unsteadiness
from svfr.restore.media import Media, open_media
from svfr.restore.model import Restorer, load_restorer
from svfr.restore.names import PICTURES, WRITABLE, Outputs
from svfr.restore.report import FileReport
from svfr.video.mux import check_streams

Progress = Callable[[int, int], None]


def restore_video(
    source: Path | str,
    destination: Path | str,
    *,
    model: Restorer | Path | str,
    tasks: Sequence[str] | None = None,
    options: RestoreOptions = RestoreOptions(),  # noqa: B008  (frozen)
    progress: Progress | None = None,
    name: str = "",
) -> FileReport:
    """Restores a video, a picture or a folder of pictures into `destination` and says what was done.

    `model`: a loaded restorer or a model folder. `tasks`, if given, replaces `options.tasks`. `progress(done, total)`
    counts frames over all passes. `name` stands for the input in the report, instead of its file name.
    The output keeps size, rate, time stamps, sound, subtitles and tags; pixels outside the faces are the input's. A
    file without a face is copied. A damaged video is restored as a player would show it, with a warning in the report.
    An unfinished run leaves its segments beside the output and the same call goes on with them, to the same bytes.
    Raises `ItemError` for an input that cannot be restored, `UserError` for options or a destination that will not do,
    `MemoryError` where even the smallest piece of work does not fit.
    """
    began = time.monotonic()
    path, outputs = Path(source), Outputs(Path(destination))
    if tasks is not None:
        options = options_with(options, tasks=list(tasks))
    settings = settings_of(options)
    restorer = model if isinstance(model, Restorer) else load_restorer(model)
    check_tasks(options, restorer)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    digest = media_digest(path)
    media = open_media(path)
    check_destination(media, outputs.video)
    key = job_key(digest, restorer.digest, settings)
    with _workplace(outputs, key) as work:
        done = Job(media, outputs, restorer, options, work, progress).run()
        head = {"input": name or path.name, "input_sha256": digest, "settings": settings}
        report = _report(done, outputs, restorer, head, time.monotonic() - began)
        write_record(outputs.ledger, key, report.row(), done.written.files)
    return report


def check_tasks(options: RestoreOptions, restorer: Restorer) -> None:
    """Raises `UserError` for tasks that the model has not learnt, or inpainting without a mask."""
    if "inpaint" in options.tasks and not options.mask:
        raise UserError("task inpaint needs a mask: give a picture, a video or box:x1,y1,x2,y2 (white is filled)")
    unknown = sorted(set(options.tasks) - restorer.network.tasks)
    if unknown and not options.auto:
        can = ", ".join(sorted(restorer.network.tasks))
        family = restorer.network.family
        raise UserError(f"this {family} model cannot do {', '.join(unknown)}; it can do {can or 'nothing'}")
    if options.reference and not restorer.network.refers:
        raise UserError(f"this {restorer.network.family} model takes no reference photo: leave out --reference")


def check_destination(media: Media, target: Path) -> None:
    """Refuses, before any work, a destination that could not be written at the end."""
    if target.resolve() == media.path.resolve():
        raise UserError(f"{target}: input and output are the same; choose another destination")
    allowed = {"video": WRITABLE, "picture": PICTURES, "frames": ("",)}[media.kind]
    if target.suffix.lower() not in allowed:
        kinds = "a folder" if media.kind == "frames" else f"a name that ends in {', '.join(allowed)}"
        raise UserError(f"{target}: for this input the destination must be {kinds}")
    if target.is_dir() and media.kind != "frames":
        raise UserError(f"{target}: is a folder; name the file to write")
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable", str(target.parent))
    if media.kind == "video":
        check_streams(media.path, target)


def options_with(options: RestoreOptions, **changes: Any) -> RestoreOptions:
    """`options` with other values, checked. Raises `UserError` naming the first bad one."""
    from pydantic import ValidationError

    try:
        return RestoreOptions.model_validate({**options.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"option {'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from None


@contextmanager
def _workplace(outputs: Outputs, key: str) -> Iterator[Path]:
    """The folder of this job's unfinished work, for this process alone; removed when the job is done.

    Raises `UserError` if another process is at the same job.
    """
    work = outputs.work(key)
    with disk_errors(work):
        work.mkdir(parents=True, exist_ok=True)
        with (work / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{outputs.video}: another process is restoring it; wait, or stop that one") from None
            try:
                yield work
            except BaseException:
                if [path.name for path in work.iterdir()] == ["lock"]:  # nothing to go on with
                    shutil.rmtree(work, ignore_errors=True)
                raise
            shutil.rmtree(work, ignore_errors=True)
    with suppress(OSError):  # another job's unfinished work lies there
        work.parent.rmdir()


def _report(done: JobResult, outputs: Outputs, restorer: Restorer, head: dict[str, Any], seconds: float) -> FileReport:
    """What the finished job has to say about its file."""
    info, found, measures = done.media.info, done.found, done.written.measures
    covered = {frame for region in found.regions for frame in range(region.start, region.stop)}
    return FileReport(
        **head,
        status="restored" if found.regions else "passed_through",
        reason="" if found.regions else "no_face",
        message="" if found.regions else "no face was found, so the file was copied as it is",
        warnings=done.warnings,
        tasks=list(done.tasks),
        output=outputs.video.name,
        output_sha256=media_digest(outputs.video),
        model_sha256=restorer.digest,
        model_family=restorer.network.family,
        width=info.width,
        height=info.height,
        frames=found.frames,
        duration=info.duration,
        faces=found.faces,
        small_faces=found.small,
        tracks=len(found.regions),
        persons=len({region.person for region in found.regions}),
        frames_with_faces=len(covered),
        track_rows=done.track_rows(),
        seconds=seconds,
        network_seconds=done.clock.network,
        peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        peak_gpu_mib=torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0,
        identity_distance=identity_distance(measures),
        identity_backend=restorer.network.embedder.name if found.regions else "",
        unsteadiness=unsteadiness(measures),
        files=[file.relative_to(outputs.video.parent).as_posix() for file in done.written.files],
    )
