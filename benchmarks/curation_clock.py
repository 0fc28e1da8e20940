"""Processor seconds of each step inside the faces stage's own code, by putting a clock around its functions."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stages import face_clips, face_tracks
from svfr.video.decode import Shown

STEPS: dict[str, tuple[Any, str]] = {  # name: (module or class, attribute) of what is timed inside the stage's own code
    "decode": (face_tracks, "read_shown"),
    "convert": (Shown, "rgb"),
    "decode again": (face_clips, "read_frames"),
    "crop": (face_clips, "extract"),
    "hash": (face_clips, "perceptual_hash"),
    "sharpness": (face_clips, "laplacian_variance"),
}


class Clock:
    """Sums CPU seconds by step; a step within a step counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def _switch(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def call(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed; what a generator does while it runs is timed too."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.step(name):
                found = function(*args, **kwargs)
            return self._items(name, found) if hasattr(found, "__next__") else found

        return timed

    def _items(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.step(name):
                item = next(items, None)
            if item is None:
                return
            yield item


class Timed:
    """A tool whose calls are timed; everything else of it shows through."""

    def __init__(self, tool: Any, name: str, clock: Clock) -> None:
        self._tool, self._call = tool, clock.call(name, tool)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)


@contextmanager
def timed_stage(clock: Clock) -> Iterator[None]:
    """Times the functions of `STEPS` and the classes that measure, inside the stage's modules."""
    before = [(module, name, getattr(module, name)) for module, name in STEPS.values()]
    for step, (module, name) in STEPS.items():
        setattr(module, name, clock.call(step, getattr(module, name)))
    classes = [("motion", face_clips, "MotionMeter"), ("cuts in crops", face_clips, "InnerCuts")]
    classes += [("scene cuts", face_tracks, "CutDetector")]
    for step, module, name in classes:
        maker = getattr(module, name)
        before.append((module, name, maker))
        setattr(module, name, lambda maker=maker, step=step: Timed(maker(), step, clock))
    writer = face_clips.clip_writer
    before.append((face_clips, "clip_writer", writer))

    def timed_writer(*args: Any) -> Any:
        made = writer(*args)
        made.write = clock.call("encode", made.write)  # type: ignore[method-assign]
        return made

    face_clips.clip_writer = timed_writer
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
