"""Draws the geometry of inpainting masks: tuples (width, x0, y0, x1, y1, ...) in shares of the frame.

A shape is a polyline of that width with round ends (one point: a disc); width 0 is a filled polygon. For text the
tuple is (height of a capital letter, x, y of the base line's left end), one for each line.
"""

from __future__ import annotations

from math import cos, pi, sin, sqrt

import numpy as np

from svfr.degrade.recipe import Shapes
from svfr.degrade.seeds import stream

_ADVANCE = 0.9  # mean width of a character of the font / height of a capital
_TEXTS = (
    "LIVE",
    "BREAKING NEWS",
    "CHANNEL 5",
    "EPISODE 12",
    "And then she said\nit was all over.",
    "I have never seen\nanything like this.",
    "COPYRIGHT PREVIEW\nDO NOT COPY",
)


def draw_shapes(kind: str, seed: int) -> tuple[str, Shapes]:
    """The text (empty unless kind is "text") and the shapes of one mask."""
    if kind == "none":
        return "", ()
    rng = stream(seed, f"mask {kind}")
    if kind == "text":
        return _text(rng)
    draw = {"strokes": _strokes, "rectangles": _rectangles, "scratches": _scratches, "hands": _hands}[kind]
    return "", draw(rng)


def _strokes(rng: np.random.Generator) -> Shapes:
    """Free-form strokes with the parameters of CodeFormer and DicFace (integers include both ends).

    1..3 strokes of 8..27 segments, width 30..69 px at 512; angles 2pi/5 -+ U(0, pi/6), mirrored in every other
    segment; lengths N(avg, avg/2) clipped to [0, 2 avg], avg = diagonal / 8. As published every stroke drifts to the
    right edge, so (ours) the whole mask is mirrored left to right in half of the draws.
    """
    average = sqrt(2) / 8
    mirrored = rng.random() < 0.5
    shapes = []
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.uniform(30, 70)) / 512
        low, high = 2 * pi / 5 - rng.uniform(0, pi / 6), 2 * pi / 5 + rng.uniform(0, pi / 6)
        x, y = rng.random(2)
        points = [float(x), float(y)]
        for segment in range(int(rng.integers(8, 28))):
            angle = rng.uniform(low, high)
            angle = 2 * pi - angle if segment % 2 == 0 else angle
            length = float(np.clip(rng.normal(average, average / 2), 0, 2 * average))
            x = float(np.clip(x + length * cos(angle), 0, 1))
            y = float(np.clip(y + length * sin(angle), 0, 1))
            points += [x, y]
        if mirrored:
            points[::2] = [1 - x for x in points[::2]]
        shapes.append((width, *points))
    return tuple(shapes)


def _rectangles(rng: np.random.Generator) -> Shapes:
    """1..2 boxes with sides of 0.1 to 0.4 of the frame (BFVR-STC's author, issue 6, used squares)."""
    shapes = []
    for _ in range(int(rng.integers(1, 3))):
        w, h = (float(v) for v in rng.uniform(0.1, 0.4, 2))
        x, y = float(rng.uniform(0, 1 - w)), float(rng.uniform(0, 1 - h))
        shapes.append((0.0, x, y, x + w, y, x + w, y + h, x, y + h))
    return tuple(shapes)


def _scratches(rng: np.random.Generator) -> Shapes:
    """2..7 thin lines, nearly upright, 1 to 4 px wide at 512 (ours)."""
    shapes = []
    for _ in range(int(rng.integers(2, 8))):
        y = np.linspace(float(rng.uniform(0, 0.4)), float(rng.uniform(0.6, 1)), 9)
        x = rng.random() + 0.01 * np.cumsum(rng.normal(size=9))
        points = np.stack([x, y], axis=1).ravel()
        shapes.append((float(rng.uniform(1, 4)) / 512, *(float(v) for v in points)))
    return tuple(shapes)


def _hands(rng: np.random.Generator) -> Shapes:
    """1..2 hand-like blobs: a palm, five fingers and, opposite to them, an arm that leaves the frame (ours)."""
    shapes: list[tuple[float, ...]] = []
    for _ in range(int(rng.integers(1, 3))):
        palm, turn = float(rng.uniform(0.12, 0.22)), float(rng.uniform(-pi, pi))
        x, y = (float(v) for v in rng.uniform(0.15, 0.85, 2))
        shapes.append((palm, x, y))
        for finger in range(5):
            angle = turn + (finger - 2) * 0.35 + float(rng.normal(0, 0.05))
            reach = palm * float(rng.uniform(1.0, 1.3))
            shapes.append((palm * 0.27, x, y, x + reach * cos(angle), y + reach * sin(angle)))
        shapes.append((palm * 0.7, x, y, x - 2 * cos(turn), y - 2 * sin(turn)))
    return tuple(shapes)


def _text(rng: np.random.Generator) -> tuple[str, Shapes]:
    """A logo near the upper edge or subtitles, centred, near the lower edge (ours)."""
    text = _TEXTS[int(rng.integers(len(_TEXTS)))]
    lines = text.split("\n")
    longest = max(len(line) for line in lines)
    height = min(float(rng.uniform(0.045, 0.075)), 0.95 / (_ADVANCE * longest))
    room = 1 - _ADVANCE * height * longest
    if len(lines) == 1 and rng.random() < 0.5:
        return text, ((height, float(rng.uniform(0, room)), float(rng.uniform(0.08, 0.2))),)
    y = float(rng.uniform(0.72, 0.85))
    return text, tuple((height, room / 2, y + 1.6 * height * i) for i in range(len(lines)))
