"""One line of the list of sources, good or refused: what cannot be used is listed too, with the reason in its place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from svfr.errors import UserError

Source = dict[str, str]  # uri, sha256, licence, source_dataset
_REFUSED = "refused:"


def entry(uri: str, *, sha256: str = "", licence: str = "", source_dataset: str = "") -> Source:
    """A source as a row of `data/sources.csv`."""
    return {"uri": uri, "sha256": sha256, "licence": licence, "source_dataset": source_dataset}


def refused(code: str, message: str, source_dataset: str = "") -> Source:
    """A row for what was named but cannot be a source; the download stage turns it into a reject with this `code`."""
    line = "".join(char if char.isprintable() else "?" for char in message)
    line = line.encode("utf-8", "replace").decode()
    return entry(f"{_REFUSED}{code}:{line}", source_dataset=source_dataset)


def refusal(uri: str) -> tuple[str, str] | None:
    """(code, message) of a row made by `refused`, None for every other address."""
    if not uri.startswith(_REFUSED):
        return None
    code, _, message = uri.removeprefix(_REFUSED).partition(":")
    return code, message


def require_good(rows: Iterable[Source], place: str, kind: str) -> list[Source]:
    """`rows` if one of them is good. Raises `UserError`: `place` is no list of this `kind`, with the first reason."""
    found = list(rows)
    bad = [reason for row in found if (reason := refusal(row["uri"]))]
    if len(bad) < len(found):
        return found
    why = f"{len(bad)} entries, none of them readable, the first: {bad[0][1]}" if bad else "it holds no entries"
    raise UserError(f"'{place}' is no {kind} ({why}): name the right folder or file")


def text_lines(path: Path) -> list[str]:
    """The lines of a small text file. Raises as `read_text` does."""
    return read_text(path).splitlines()


def read_text(path: Path) -> str:
    """A text file's content. Raises `UserError` if it is not text in UTF-8 or cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path and its rights") from error
