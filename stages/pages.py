"""What the HTML pages share: Jinja's settings, one style sheet, pictures inside the page."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

GALLERY = "degradations.html"  # below reports/, beside index.html
CURATION = "curation.html"
_TEMPLATES = Path(__file__).with_name("templates")


def environment() -> Environment:
    """Templates of `stages/templates`: values are escaped, an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(png: bytes) -> str:
    """A PNG file as an address, so that the page needs no file beside it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
