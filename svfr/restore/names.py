"""Names of inputs and outputs: which files of a folder are inputs, and where their results go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from svfr.artifacts import digest_of
from svfr.errors import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".gif")
WRITABLE = (".mp4", ".mov", ".m4v", ".mkv", ".webm")
_NUMBERED = re.compile(r"(\d+)=(.+)", re.DOTALL)
STATE = ".svfr"  # folder beside the outputs: ledger, unfinished work


@dataclass(frozen=True)
class Outputs:
    """Files that one input becomes. `video` may also be a picture or a folder of pictures, like the input."""

    video: Path

    @property
    def side_by_side(self) -> Path:
        """Input and result next to each other."""
        return self.video.parent / "side_by_side" / self.video.name

    @property
    def contact_sheet(self) -> Path:
        """A few frames, input above result."""
        return self.video.parent / "contact_sheets" / f"{self.video.name}.png"

    @property
    def png_frames(self) -> Path:
        """The folder of the restored frames of a video as PNG."""
        return self.video.parent / "frames" / self.video.name

    @property
    def ledger(self) -> Path:
        """The record that says from what this output was made."""
        return self.video.parent / STATE / "done" / f"{self.video.name}.json"

    def work(self, key: str) -> Path:
        """The folder of unfinished work of job `key` for this output: two inputs may be equal, byte for byte."""
        return self.video.parent / STATE / "work" / digest_of([key, self.video.name])[:16]


def output_name(source: Path, codec: str = "libx264") -> str:
    """The input's name; containers that cannot be written, or cannot hold the codec, become Matroska."""
    if source.suffix.lower() in PICTURES or source.is_dir():
        return source.name if source.suffix.lower() in (*PICTURES, "") else source.stem + ".png"
    fits = source.suffix.lower() in WRITABLE and (source.suffix.lower() != ".webm" or codec == "libvpx-vp9")
    fits = fits and (codec != "ffv1" or source.suffix.lower() == ".mkv")
    return source.name if fits else f"{source.name}.mkv"


def inputs_of(folder: Path) -> list[Path]:
    """Videos and pictures directly in `folder`, by name. `UserError` if there are none or it is no folder."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = sorted(_inputs(folder))
    if not found:
        raise UserError(f"{folder}: holds no video or picture ({', '.join(VIDEOS + PICTURES)})")
    return found


def _inputs(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.is_file() and path.suffix.lower() in VIDEOS + PICTURES:
            yield path


def parse_reference(text: str) -> tuple[int | None, Path]:
    """`photo.jpg` or `N=photo.jpg` -> the number of the person, None if the text has none, and the file."""
    found = _NUMBERED.fullmatch(text)
    return (int(found[1]), Path(found[2])) if found else (None, Path(text))
