"""The three passes over one file: scan, restore in segments, compose. Everything unfinished lies in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from svfr.artifacts import atomic_dir, atomic_write, read_json, sha256_file, write_json
from svfr.errors import ItemError, UserError
from svfr.params import RestoreOptions
from svfr.restore.anchors import Reference, own_reference, photos
from svfr.restore.clock import Clock
from svfr.restore.compose import Composer, Composition, compose_crop
from svfr.restore.masks import Mask
from svfr.restore.measure import RegionMeasure, identity_distance, unsteadiness
from svfr.restore.media import Media
from svfr.restore.memory import Splits, trim
from svfr.restore.model import Restorer
from svfr.restore.names import Outputs
from svfr.restore.persons import link_persons
from svfr.restore.scan import Region, Scan, load_scan, save_scan, scan
from svfr.restore.segments import RegionRestorer
from svfr.restore.store import RegionStore, plan_segments
from svfr.video.mux import copy_streams

Progress = Callable[[int, int], None]
_SPARE = 64 << 20  # bytes that must stay free on the disk
_TRIM_EVERY = 64  # frames


@dataclass(frozen=True)
class JobResult:
    """What a job did: the input as it was read, what was found in it, what was written, with which references."""

    media: Media
    found: Scan
    written: Composition
    tasks: tuple[str, ...]
    references: dict[int, Reference]
    clock: Clock
    warnings: list[str]

    def track_rows(self) -> list[dict[str, Any]]:
        """One row a track, for the report."""
        measures: list[RegionMeasure | None] = [*self.written.measures] or [None] * len(self.found.regions)
        return [
            {
                "track": region.region_id,
                "person": region.person,
                "first_frame": region.start,
                "frames": len(region.crops),
                "face_px": float((region.faces[:, 2:] - region.faces[:, :2]).max(1).mean()),
                "reference": self.references[region.person].source if region.person in self.references else "",
                "identity_distance": identity_distance([measure]) if measure else None,
                "unsteadiness": unsteadiness([measure]) if measure else None,
            }
            for region, measure in zip(self.found.regions, measures, strict=True)
        ]


class Job:
    """One file on its way through the passes. `progress(done, total)` counts frames over all of them."""

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
        self.warnings: list[str] = []
        self._splits, self._clock = Splits(restorer.network.most_splits), Clock()
        self._progress, self._done, self._total = progress, 0, 2 * media.info.n_frames

    def run(self) -> JobResult:
        """All passes. Errors as in `restore_video`."""
        found = self._scanned()
        self._warn_of_damage(found)
        self._choose_tasks(found)
        mask = Mask(self.options.mask, self.media) if self.options.mask else None
        if not found.regions:
            return self._result(found, Composition([self._pass_through()]), {})
        if self.options.crop_only:
            found = replace(found, regions=(max(found.regions, key=_size),))
        self._total = 2 * found.frames + sum(len(r.crops) for r in found.regions)
        stores = [self._store(region) for region in found.regions]
        self._check_disk(found, stores)
        restore = RegionRestorer(self.media, self.restorer, self.options, mask, self._splits, self._clock)
        references = self._references(found, restore) if self.restorer.network.refers else {}
        for region, store in zip(found.regions, stores, strict=True):
            restore(region, store, references.get(region.person), self._advance)
        written = self._compose(found, stores, mask)
        if self._splits.count:
            self.warnings.append(f"memory was short: the work was halved {self._splits.count} times")
        return self._result(found, written, references)

    def _result(self, found: Scan, written: Composition, references: dict[int, Reference]) -> JobResult:
        warnings = [*self.warnings, *written.warnings]
        return JobResult(self.media, found, written, tuple(self.options.tasks), references, self._clock, warnings)

    def _scanned(self) -> Scan:
        """The first pass, or what an earlier run of it found; a damaged video is read a second time, tolerantly."""
        path, notes = self.work / "scan.json", self.work / "damage.json"
        if path.exists():
            if notes.exists():
                self.media = self.media.tolerated(ItemError(**read_json(notes)))
            found = load_scan(path)
            self._advance(found.frames)
            return found
        try:
            found = self._scan()
        except ItemError as error:
            if self.media.damage:
                raise
            self.media = self.media.tolerated(error)
            write_json(notes, {"code": error.code, "message": str(error)})
            self._done, self._total = 0, 2 * self.media.info.n_frames
            found = self._scan()
        save_scan(path, found)
        return found

    def _scan(self) -> Scan:
        frames = self.media.info.n_frames
        frames = min(frames, self.options.max_frames) if self.options.max_frames else frames
        detector = None if self.options.region == "frame" else self.restorer.detector(self.options)
        found = scan(self.media, detector, self.options, frames, self._advance)
        if self.options.link_faces and self.options.region == "faces":
            found = replace(found, regions=link_persons(self.media, found.regions, self.restorer))
        return found

    def _warn_of_damage(self, found: Scan) -> None:
        if self.media.damage:
            self.warnings.append(
                f"{self.media.damage.removesuffix('; fetch the file again')}: restored as a player would show it; "
                f"{found.damaged} of {found.frames} frames are concealed or repeat the one before"
            )

    def _choose_tasks(self, found: Scan) -> None:
        """With `auto`: colour for grey input, inpainting where there is a mask, as far as the model can."""
        if self.options.auto:
            wanted = ["bfr", *(["color"] if found.grey else []), *(["inpaint"] if self.options.mask else [])]
            can = self.restorer.network.tasks
            tasks = [task for task in wanted if task in can]
            if not tasks:
                raise UserError(f"--auto chose {', '.join(wanted)}, of which this model can do nothing")
            self.options = self.options.model_copy(update={"tasks": tasks})
            if missing := sorted(set(wanted) - can):
                self.warnings.append(f"the input asks for {', '.join(missing)}, which this model cannot do")
        elif found.grey and "color" not in self.options.tasks and "color" in self.restorer.network.tasks:
            self.warnings.append("the input has no colour; add the task color (or --auto) to give it some")

    def _store(self, region: Region) -> RegionStore:
        length, window = self.options.segment, self.restorer.window
        overlap = max(self.options.overlap, self.restorer.network.least_overlap)
        segments = plan_segments(region.start, region.stop, length, overlap, window)
        return RegionStore(self.work / f"region-{region.region_id:04d}", segments)

    def _check_disk(self, found: Scan, stores: list[RegionStore]) -> None:
        """Raises `UserError` now rather than hours later if the crops to come do not fit on the disk."""
        crop = 3 * self.restorer.size**2 * (self.media.bits // 8)
        left = sum(
            (segment.stop - segment.start) * crop
            for store in stores
            for index, segment in enumerate(store.segments)
            if not store.path(index).exists()
        )
        free = shutil.disk_usage(self.work).free
        if left + _SPARE > free:
            raise UserError(
                f"{self.outputs.video}: disk too full: the unfinished work needs {left >> 20} MiB beside the output "
                f"and {free >> 20} MiB are free; free some space or choose another destination"
            )

    def _references(self, found: Scan, restore: RegionRestorer) -> dict[int, Reference]:
        """Person -> reference: a photo, or, with `self_refer`, a frame of the video."""
        references = photos(self.media, found.regions, self.restorer, self.options)
        persons = {region.person for region in found.regions} - set(references)
        for person in sorted(persons) if self.options.self_refer else ():
            path = self.work / f"reference-{person:04d}.npz"
            references[person] = own_reference(
                found.regions, person, self.restorer, restore.choose_anchor, self.media, self.options, path
            )
        return references

    def _compose(self, found: Scan, stores: list[RegionStore], mask: Mask | None) -> Composition:
        rest = self.outputs, self.work, self._advance
        if self.options.crop_only:
            return compose_crop(self.media, found.regions[0], stores[0], self.restorer, self.options, *rest)
        return Composer(self.media, found, stores, self.restorer, self.options, mask)(*rest)

    def _pass_through(self) -> Path:
        """The input's own bytes under the output's name; another container gets its streams untouched."""
        source, target = self.media.path, self.outputs.video
        if self.media.kind == "frames":
            with atomic_dir(target, self.work) as folder:
                for picture in self.media.pictures:
                    shutil.copyfile(picture, folder / picture.name)
        elif source.suffix.lower() == target.suffix.lower():
            with atomic_write(target, self.work) as temporary:
                shutil.copyfile(source, temporary)
                if sha256_file(temporary) != sha256_file(source):
                    raise UserError(f"{source.name} changed while it was copied: run again")
        else:
            copy_streams(source, source, target, scratch=self.work)
        return target

    def _advance(self, frames: int) -> None:
        if self._done // _TRIM_EVERY != (self._done + frames) // _TRIM_EVERY:
            trim()
        self._done += frames
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


def _size(region: Region) -> float:
    """The area of a region's faces, summed over its frames."""
    return float((region.faces[:, 2:] - region.faces[:, :2]).prod(1).sum())
