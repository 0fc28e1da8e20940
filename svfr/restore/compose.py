"""Third pass: pastes the restored crops into the frames and writes every output of a file in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from svfr.params import RestoreOptions
from svfr.restore.masks import Mask
from svfr.restore.measure import RegionMeasure
from svfr.restore.media import Media, Pixels
from svfr.restore.model import Restorer
from svfr.restore.names import Outputs
from svfr.restore.paste import PasteStyle, paste
from svfr.restore.scan import Region, Scan
from svfr.restore.segments import RegionStore
from svfr.restore.sheet import ContactSheet
from svfr.restore.sink import Sink, open_sink, write_picture
from svfr.video.decode import Frame

Advance = Callable[[int], None]


@dataclass
class Composition:
    """What the third pass returns: the files it wrote and one measure a region."""

    files: list[Path] = field(default_factory=list)
    measures: list[RegionMeasure] = field(default_factory=list)


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
        sheet = ContactSheet(self.result.frames)
        masks = self.mask.read(0, self.result.frames) if self.mask else None
        with ExitStack() as stack:
            main, pair = self._open(stack, outputs, scratch, done)
            for frame in self.media.read(stop=self.result.frames):
                hole = next(masks) if masks is not None else None
                restored = frame.rgb
                for layer in layers:
                    crop = layer.take(frame)
                    if crop is not None:
                        restored = paste(restored, crop, layer.region.crop(frame.index), style, hole)
                main.write(restored, frame.pts)
                if pair is not None:
                    pair.write(np.concatenate([frame.rgb, restored], axis=1), frame.pts)
                sheet.add(frame.index, frame.rgb, restored)
                advance(1)
        if self.options.contact_sheet:
            write_picture(outputs.contact_sheet, sheet.picture())
            done.files.append(outputs.contact_sheet)
        return done

    def _open(self, stack: ExitStack, outputs: Outputs, scratch: Path, done: Composition) -> tuple[Sink, Sink | None]:
        info, options = self.media.info, self.options
        main = open_sink(self.media, outputs.video, info.width, info.height, options, scratch)
        done.files.append(outputs.video)
        stack.enter_context(main)
        if not options.side_by_side:
            return main, None
        done.files.append(outputs.side_by_side)
        pair_scratch = scratch / "pair"
        pair = open_sink(self.media, outputs.side_by_side, 2 * info.width, info.height, options, pair_scratch)
        stack.enter_context(pair)
        return main, pair


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
