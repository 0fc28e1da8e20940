"""Motion of a still portrait: a face that talks, blinks and turns, seen by a camera that pans, zooms and rolls.

Every expression is a displacement of some of the 68 landmarks, spread over the picture by a thin-plate spline. The
fields are computed once per portrait; a frame's field is their weighted sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from svfr.sample.portraits import Image, Points, Portrait

_GRID = 40  # nodes per side on which the spline is evaluated


@dataclass(frozen=True)
class Shot:
    """How one video is filmed. `zoom` is the width of the view as a share of the face's width."""

    size: tuple[int, int]  # width, height in pixels
    zoom: float  # face widths across the view
    drift: float = 0.15  # camera sway, in face widths
    roll: float = 2.0  # degrees
    talk: float = 1.0  # strength of mouth movement
    turn: float = 1.0  # strength of head turning
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)  # light colour, RGB
    tint: float = 0.0  # strength of slow swings of the light's colour
    shade: float = 0.0  # side light: relative difference between left and right edge
    phase: float = 0.0  # offset of all movements, radians


def frames(portrait: Portrait, shot: Shot, times: NDArray[np.float64]) -> Iterator[Image]:
    """Yields one (H, W, 3) uint8 RGB frame for each of `times` (seconds)."""
    fields = _expression_fields(portrait)
    for time in times:
        weights = _weights(shot, float(time))
        field_HW2 = np.tensordot(weights, fields, axes=1)
        yield _film(portrait, shot, field_HW2, float(time))


def _weights(shot: Shot, time: float) -> NDArray[np.float64]:
    """Strength of (jaw, smile, blink, yaw) at `time`: incommensurate sines, and a blink every 1.3 s."""
    p = shot.phase
    jaw = shot.talk * (0.5 + 0.5 * np.sin(9.1 * time + p)) * (0.6 + 0.4 * np.sin(2.3 * time + 2 * p))
    smile = 0.6 * np.sin(1.7 * time + p)
    blink = max(0.0, 1.0 - abs(((time + p) % 1.3) - 0.65) / 0.12)
    yaw = shot.turn * np.sin(1.1 * time + 0.5 + p)
    return np.array([jaw, smile, blink, yaw])


def _expression_fields(portrait: Portrait) -> NDArray[np.float64]:
    """(4, H, W, 2) displacement of every pixel, in pixels, for unit weight of each expression."""
    height, width = portrait.image.shape[:2]
    border = [(x * (width - 1), y * (height - 1)) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]
    anchors = np.concatenate([portrait.points, np.asarray(border)])
    moves = np.zeros((4, len(anchors), 2))
    moves[:, :68] = _landmark_moves(portrait.points)
    nodes = np.stack(np.meshgrid(np.linspace(0, width - 1, _GRID), np.linspace(0, height - 1, _GRID)), -1)
    out = np.empty((4, height, width, 2))
    for index, move in enumerate(moves):
        spline = RBFInterpolator(anchors, move, kernel="thin_plate_spline", smoothing=1.0)
        coarse = spline(nodes.reshape(-1, 2)).reshape(_GRID, _GRID, 2)
        out[index] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return out


def _landmark_moves(points: Points) -> NDArray[np.float64]:
    """(4, 68, 2) displacement of the landmarks for jaw, smile, blink and yaw; lengths scale with the face."""
    face = float(np.ptp(points[:17, 0]))
    moves = np.zeros((4, 68, 2))
    moves[0, [55, 56, 57, 58, 59, 65, 66, 67], 1] = 0.07 * face  # lower lip
    moves[0, 5:12, 1] = 0.05 * face  # chin follows
    moves[1, [48, 60], 0], moves[1, [54, 64], 0] = -0.035 * face, 0.035 * face  # mouth corners
    moves[1, [48, 54, 60, 64], 1] = -0.03 * face
    for upper, lower in (((37, 38), (41, 40)), ((43, 44), (47, 46))):
        moves[2, upper] = 0.9 * (points[list(lower)] - points[list(upper)])
    centre = points[27:36, 0].mean()
    depth = np.clip(1 - np.abs(points[:, 0] - centre) / (0.5 * face), 0, 1)  # the nose is nearest to the camera
    moves[3, :, 0] = 0.045 * face * depth
    return moves


def _film(portrait: Portrait, shot: Shot, field_HW2: NDArray[np.float64], time: float) -> Image:
    points, (width, height) = portrait.points, shot.size
    face = float(np.ptp(points[:17, 0]))
    centre = (points[:17].mean(0) + points[27]) / 2
    sway = shot.drift * face * np.array([np.sin(0.9 * time + shot.phase), 0.6 * np.sin(1.3 * time + 2 * shot.phase)])
    scale = shot.zoom * face / width * (1 + 0.04 * np.sin(0.7 * time + shot.phase))
    angle = np.deg2rad(shot.roll) * np.sin(0.8 * time + shot.phase)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    grid = np.stack(np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2), -1)
    source = grid @ rotation.T + centre + sway
    # a pixel's colour comes from where it was before the face moved: source(x) = x - field(x)
    moved = source - cv2.remap(field_HW2.astype(np.float32), *_maps(source), cv2.INTER_LINEAR)
    view = cv2.remap(portrait.image, *_maps(moved), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    swing = 1 + shot.tint * np.sin(2.4 * time + shot.phase + np.array([0.0, 2.1, 4.2]))
    light = 1 + shot.shade * np.linspace(-0.5, 0.5, width)[None, :, None]
    return np.clip(view * np.asarray(shot.gain) * swing * light, 0, 255).astype(np.uint8)


def _maps(coordinates: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return coordinates[..., 0].astype(np.float32), coordinates[..., 1].astype(np.float32)
