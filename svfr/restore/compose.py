"""Third pass: pastes the restored crops into the frames and writes every output of a file in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from svfr.faces.geometry import Box
from svfr.params import RestoreOptions
from svfr.restore.masks import Floats, Mask
from svfr.restore.measure import RegionMeasure
from svfr.restore.media import Media
from svfr.restore.model import Restorer
from svfr.restore.names import Outputs
from svfr.restore.paste import PasteStyle, paste
from svfr.restore.pixels import Pixels
from svfr.restore.scan import Region, Scan
from svfr.restore.sheet import ContactSheet
from svfr.restore.sink import FolderSink, Sink, open_sink, write_picture
from svfr.restore.store import RegionStore
from svfr.video.decode import Frame

Advance = Callable[[int], None]


@dataclass
class Composition:
    """What the third pass returns: the files it wrote and one measure a region."""

    files: list[Path] = field(default_factory=list)
    measures: list[RegionMeasure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Composer:
    """One file's third pass."""

    media: Media
    result: Scan
    stores: list[RegionStore]
    restorer: Restorer
    options: RestoreOptions
    mask: Mask | None

    def __call__(self, outputs: Outputs, scratch: Path, advance: Advance) -> Composition:
        """Reads the input once more, writes the outputs; returns them with the measures."""
        style = PasteStyle(tuple(self.options.tasks), self.options.feather, self.options.match_colour)
        faces = self.options.region == "faces"
        layers = [
            _Layer(region, store.read(), RegionMeasure(region, self.restorer, faces))
            for region, store in zip(self.result.regions, self.stores, strict=True)
        ]
        done = Composition(measures=[layer.measure for layer in layers])
        holes = _Holes()
        sheet = ContactSheet(self.result.frames)
        masks = self.mask.read(0, self.result.frames) if self.mask else None
        with ExitStack() as stack:
            sinks, pair = self._open(stack, outputs, scratch, done)
            for frame in self.media.read(stop=self.result.frames):
                hole = next(masks) if masks is not None else None
                restored, boxes = frame.rgb, []
                for layer in layers:
                    crop = layer.take(frame)
                    if crop is not None:
                        boxes.append(layer.region.crop(frame.index))
                        restored = paste(restored, crop, boxes[-1], style, hole, layer.region.opacity(frame.index))
                if hole is not None:
                    holes.add(hole, boxes)
                for sink in sinks:
                    sink.write(restored, frame.pts)
                if pair is not None:
                    pair.write(np.concatenate([frame.rgb, restored], axis=1), frame.pts)
                sheet.add(frame.index, frame.rgb, restored)
                advance(1)
        if self.options.contact_sheet:
            write_picture(outputs.contact_sheet, sheet.picture(), scratch)
            done.files.append(outputs.contact_sheet)
        done.warnings += holes.warnings()
        return done

    def _open(
        self, stack: ExitStack, outputs: Outputs, scratch: Path, done: Composition
    ) -> tuple[list[Sink], Sink | None]:
        """The sinks of restored frames, and the one of pairs."""
        info, options = self.media.info, self.options
        sinks = [open_sink(self.media, outputs.video, info.width, info.height, options, scratch)]
        done.files.append(outputs.video)
        if options.png_frames and self.media.kind == "video":
            names = (f"{number:06d}" for number in count())
            sinks.append(FolderSink(outputs.png_frames, names, scratch))
            done.files.append(outputs.png_frames)
        pair = None
        if options.side_by_side:
            done.files.append(outputs.side_by_side)
            pair = open_sink(self.media, outputs.side_by_side, 2 * info.width, info.height, options, scratch / "pair")
        for sink in (*sinks, *([pair] if pair else [])):
            stack.enter_context(sink)
        return sinks, pair


@dataclass
class _Holes:
    """How much of a mask lies outside everything that is restored."""

    pixels: int = 0
    outside: int = 0

    def add(self, hole_HW: Floats, boxes: list[Box]) -> None:
        """Takes the mask of a frame and the normalised boxes that are restored in it."""
        height, width = hole_HW.shape
        left = hole_HW >= 0.5
        self.pixels += int(left.sum())
        for x1, y1, x2, y2 in boxes:
            left[round(y1 * height) : round(y2 * height), round(x1 * width) : round(x2 * width)] = False
        self.outside += int(left.sum())

    def warnings(self) -> list[str]:
        """A sentence if any was."""
        if not self.outside:
            return []
        share = 100 * self.outside / self.pixels
        return [f"{share:.0f} % of the mask lies outside the restored faces and stays as it was; see --whole-frame"]


@dataclass
class _Layer:
    """One region while the file is composed: hands out its crops in step with the frames."""

    region: Region
    crops: Iterator[Pixels]
    measure: RegionMeasure

    def take(self, frame: Frame) -> Pixels | None:
        if not self.region.start <= frame.index < self.region.stop:
            return None
        crop = next(self.crops)
        self.measure.add(frame.index, frame.rgb, crop)
        return crop


def compose_crop(
    media: Media,
    region: Region,
    store: RegionStore,
    restorer: Restorer,
    options: RestoreOptions,
    outputs: Outputs,
    scratch: Path,
    advance: Advance,
) -> Composition:
    """Writes one region's restored crops as a square video, frames outside it left out: the paper's output."""
    measure = RegionMeasure(region, restorer, options.region == "faces")
    partial = options.model_copy(update={"max_frames": region.stop})
    with open_sink(media, outputs.video, restorer.size, restorer.size, partial, scratch) as sink:
        for frame, crop in zip(media.read(region.start, region.stop), store.read(), strict=True):
            measure.add(frame.index, frame.rgb, crop)
            sink.write(crop, frame.pts)
            advance(1)
    return Composition([outputs.video], [measure])
