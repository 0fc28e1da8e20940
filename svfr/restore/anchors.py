"""The reference of each person: a photo that was given, or the best frame of a first restored window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from svfr.artifacts import atomic_write
from svfr.diffusion.selfref import Quality, sharpness
from svfr.errors import UserError
from svfr.faces.embed import distance
from svfr.faces.geometry import Box
from svfr.params import RestoreOptions
from svfr.restore.media import Media
from svfr.restore.model import Restorer
from svfr.restore.names import parse_reference
from svfr.restore.network import Anchor
from svfr.restore.persons import embedding
from svfr.restore.pixels import as_tensor
from svfr.restore.reference import reference_photo
from svfr.restore.scan import Region


@dataclass(frozen=True)
class Reference:
    """A person's anchor, the box of its face in pixels of it, and, for the report, where it comes from."""

    anchor: Anchor
    face: Box
    source: str


def photos(
    media: Media, regions: Sequence[Region], restorer: Restorer, options: RestoreOptions
) -> dict[int, Reference]:
    """Person -> anchor, for the persons that a photo was given for.

    `N=photo.jpg` belongs to person N of the report. A photo without a number belongs to the person who looks most like
    it, to the only one if there is one. Raises `UserError` for a person that there is not, two photos of one, or a
    photo without a face.
    """
    found: dict[int, Reference] = {}
    persons = sorted({region.person for region in regions})
    loose = []
    for text in options.reference:
        person, path = parse_reference(text)
        photo, face = reference_photo(path, restorer.detector(options), options.enlarge, restorer.size)
        anchor = restorer.with_tokens(Anchor(as_tensor(photo), None), face)
        named = Reference(anchor, face, f"photo {path.name}")
        if person is None and len(persons) > 1:
            loose.append((restorer.embed(photo, face), named))
            continue
        _put(found, persons[0] if person is None else person, named, persons)
    if loose:
        looks = {p: embedding(media, _clearest(regions, p), restorer) for p in persons}
        for vector, named in loose:
            free = [p for p in persons if p not in found] or persons
            _put(found, min(free, key=lambda p: distance(looks[p], vector)), named, persons)
    return found


def _put(found: dict[int, Reference], person: int, named: Reference, persons: list[int]) -> None:
    if person not in persons:
        raise UserError(f"--reference {person}={named.source}: there are persons 0 to {len(persons) - 1} in this file")
    if person in found:
        raise UserError(f"--reference: {found[person].source} and {named.source} are both for person {person}")
    found[person] = named


def _clearest(regions: Sequence[Region], person: int) -> Region:
    return max((r for r in regions if r.person == person), key=lambda r: (r.clarity, -r.region_id))


def own_reference(
    regions: Sequence[Region],
    person: int,
    restorer: Restorer,
    choose: Callable[[Region, int, int, Quality], Anchor],
    media: Media,
    options: RestoreOptions,
    path: Path,
) -> Reference:
    """The person's reference out of the video itself: of one window around the clearest face; kept in the file `path`.

    `choose(region, first, last, quality)` restores frames `first` to `last` of a region and picks one.
    """
    region = _clearest(regions, person)
    first, last = window_of(region, restorer.window)
    if not path.exists():
        anchor = choose(region, first, last, quality_of(region, first, last, restorer, media, options))
        with atomic_write(path) as temporary:
            np.savez(temporary, reference=anchor.reference.numpy(), frame=first + anchor.frame)
    with np.load(path, allow_pickle=False) as stored:
        reference, frame = torch.from_numpy(stored["reference"]), int(stored["frame"])
    face = face_at(region, frame, restorer, media)
    return Reference(restorer.with_tokens(Anchor(reference, None, frame), face), face, f"frame {frame}")


def window_of(region: Region, window: int) -> tuple[int, int]:
    """One window of frames around the clearest detection."""
    first = max(region.start, min(region.best - window // 2, region.stop - window))
    return first, min(first + window, region.stop)


def quality_of(
    region: Region, first: int, last: int, restorer: Restorer, media: Media, options: RestoreOptions
) -> Quality:
    """What makes a frame of `first` to `last` a good reference: its face, or sharpness if none was looked for."""
    if options.region == "frame":
        return sharpness
    faces = [face_at(region, frame, restorer, media) for frame in range(first, last)]
    return lambda frames_K3SS: restorer.reference_scores(frames_K3SS, faces)


def face_at(region: Region, frame: int, restorer: Restorer, media: Media) -> Box:
    """The face box of a frame in pixels of its crop."""
    return region.face_in_crop(frame, media.info.width, media.info.height, restorer.size)
