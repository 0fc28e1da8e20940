"""Restores one file, start to end, in bounded memory: scan, restore in segments, compose."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from svfr.artifacts import atomic_write, disk_errors, sha256_file
from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.restore.compose import Composer, Composition, compose_crop
from svfr.restore.ledger import job_key, media_digest, settings_of, write_record
from svfr.restore.masks import Mask
from svfr.restore.measure import identity_distance, unsteadiness
from svfr.restore.media import Media, open_media
from svfr.restore.model import Restorer, load_restorer
from svfr.restore.names import PICTURES, WRITABLE, Outputs
from svfr.restore.report import FileReport
from svfr.restore.scan import Scan, load_scan, save_scan, scan, whole_frame
from svfr.restore.segments import RegionRestorer, RegionStore, plan_segments
from svfr.video.mux import copy_streams

Progress = Callable[[int, int], None]


def restore_video(
    source: Path | str,
    destination: Path | str,
    *,
    model: Restorer | Path | str,
    tasks: Sequence[str] | None = None,
    options: RestoreOptions = RestoreOptions(),  # noqa: B008  (frozen)
    progress: Progress | None = None,
) -> FileReport:
    """Restores a video, a picture or a folder of pictures into `destination` and says what was done.

    `model`: a loaded restorer or a model folder. `tasks`, if given, replaces `options.tasks`. `progress(done, total)`
    counts frames over all passes. The output keeps size, rate, time stamps, sound, subtitles and tags; pixels outside
    the faces are the input's. A file without a face is copied. An unfinished run leaves its segments beside the
    output and the same call goes on with them, to the same bytes.
    Raises `ItemError` for an input that cannot be restored, `UserError` for options or a destination that will not do.
    """
    began = time.monotonic()
    path, outputs = Path(source), Outputs(Path(destination))
    if tasks is not None:
        options = options_with(options, tasks=list(tasks))
    settings = settings_of(options)
    if "inpaint" in options.tasks and not options.mask:
        raise UserError("task inpaint needs a mask: give a picture, a video or box:x1,y1,x2,y2 (white is filled)")
    restorer = model if isinstance(model, Restorer) else load_restorer(model)
    _check_tasks(options, restorer)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    digest = media_digest(path)
    media = open_media(path)
    _check_destination(media, outputs.video)
    key = job_key(digest, restorer.digest, settings)
    job = _Job(media, outputs, restorer, options, outputs.work(key), progress)
    result, done = job.run()
    report = _report(job, digest, settings, result, done, time.monotonic() - began)
    write_record(outputs.ledger, key, report.row(), done.files)
    shutil.rmtree(job.work, ignore_errors=True)
    with suppress(OSError):  # another job's unfinished work lies there
        job.work.parent.rmdir()
    return report


def _check_tasks(options: RestoreOptions, restorer: Restorer) -> None:
    """Refuses, before any work, what the model cannot do."""
    able = ", ".join(sorted(restorer.tasks))
    if not restorer.tasks:
        raise UserError("this model restores nothing: it is a stage of training; give another --model")
    if not restorer.tasks.issuperset(options.tasks):
        raise UserError(f"this model does {able}, not {', '.join(options.tasks)}: give other --tasks or --model")
    if options.reference and not restorer.refers:
        raise UserError("this model takes no reference photo: leave out --reference, or use an SVFR model")


def _report(
    job: _Job, digest: str, settings: dict[str, Any], result: Scan, done: Composition, seconds: float
) -> FileReport:
    """What the finished job has to say about its file."""
    info, video = job.media.info, job.outputs.video
    covered = {frame for region in result.regions for frame in range(region.start, region.stop)}
    return FileReport(
        input=job.media.path.name,
        status="restored" if result.regions else "passed_through",
        reason="" if result.regions else "no_face",
        message="" if result.regions else "no face was found, so the file was copied as it is",
        output=video.name,
        input_sha256=digest,
        output_sha256=media_digest(video),
        model_sha256=job.restorer.digest,
        settings=settings,
        width=info.width,
        height=info.height,
        frames=result.frames,
        duration=info.duration,
        faces=result.faces,
        small_faces=result.small,
        tracks=len(result.regions),
        frames_with_faces=len(covered),
        seconds=seconds,
        peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        peak_gpu_mib=torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0,
        identity_distance=identity_distance(done.measures),
        identity_backend=job.restorer.identity_backend if result.regions else "",
        unsteadiness=unsteadiness(done.measures),
        files=[file.relative_to(video.parent).as_posix() for file in done.files],
    )


def _check_destination(media: Media, target: Path) -> None:
    """Refuses, before any work, a destination that could not be written at the end."""
    if target.resolve() == media.path.resolve():
        raise UserError(f"{target}: input and output are the same; choose another destination")
    allowed = {"video": WRITABLE, "picture": PICTURES, "frames": ("",)}[media.kind]
    if target.suffix.lower() not in allowed:
        kinds = "a folder" if media.kind == "frames" else f"a name that ends in {', '.join(allowed)}"
        raise UserError(f"{target}: for this input the destination must be {kinds}")
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable", str(target.parent))


def options_with(options: RestoreOptions, **changes: Any) -> RestoreOptions:
    """`options` with other values, checked. Raises `UserError` naming the first bad one."""
    from pydantic import ValidationError

    try:
        return RestoreOptions.model_validate({**options.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"option {'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from None


class _Job:
    """The three passes over one file. Everything unfinished lies in `work`."""

    def __init__(
        self,
        media: Media,
        outputs: Outputs,
        restorer: Restorer,
        options: RestoreOptions,
        work: Path,
        progress: Progress | None,
    ) -> None:
        self.media, self.outputs, self.restorer, self.options, self.work = media, outputs, restorer, options, work
        self._progress, self._done, self._total = progress, 0, 2 * media.info.n_frames

    def run(self) -> tuple[Scan, Composition]:
        """Scan, restore, compose: what was found in the file and what was written."""
        result = self._scan()
        if not result.regions:
            return result, self._pass_through()
        if self.options.crop_only:
            largest = max(result.regions, key=lambda r: float((r.faces[:, 2:] - r.faces[:, :2]).prod(1).sum()))
            result = Scan(result.frames, result.faces, result.small, (largest,))
        mask = Mask(self.options.mask, self.media) if self.options.mask else None
        self._total = 2 * result.frames + sum(len(r.crops) for r in result.regions)
        stores = []
        for region in result.regions:
            overlap = self.restorer.overlap(self.options)
            segments = plan_segments(region.start, region.stop, self.options.segment, overlap, self.restorer.window)
            stores.append(RegionStore(self.work / f"region-{region.region_id:04d}", segments))
            RegionRestorer(self.media, region, self.restorer, self.options, mask)(stores[-1], self._advance)
        if self.options.crop_only:
            rest = self.outputs, self.work, self._advance
            return result, compose_crop(self.media, result.regions[0], stores[0], self.restorer, self.options, *rest)
        composer = Composer(self.media, result, stores, self.restorer, self.options, mask)
        return result, composer(self.outputs, self.work, self._advance)

    def _scan(self) -> Scan:
        path = self.work / "scan.json"
        if path.exists():
            result = load_scan(path)
            self._advance(result.frames)
            return result
        frames = self.media.info.n_frames
        frames = min(frames, self.options.max_frames) if self.options.max_frames else frames
        if self.options.region == "frame":
            result = whole_frame(self.media, frames)
        else:
            result = scan(self.media, self.restorer.detector(self.options), self.options, frames, self._advance)
        save_scan(path, result)
        return result

    def _pass_through(self) -> Composition:
        """The input's own bytes under the output's name; another container gets its streams untouched."""
        source, target = self.media.path, self.outputs.video
        if self.media.kind == "frames":
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.suffix.lower() == target.suffix.lower():
            with atomic_write(target) as temporary:
                shutil.copyfile(source, temporary)
            if sha256_file(target) != sha256_file(source):
                raise UserError(f"{source.name} changed while it was copied: run again")
        else:
            copy_streams(source, source, target)
        return Composition([target])

    def _advance(self, frames: int) -> None:
        self._done += frames
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)
