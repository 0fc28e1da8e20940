"""JPEG compression of single frames."""

from __future__ import annotations

from typing import Any

import cv2
from numpy.typing import NDArray


def jpeg(frame_HWC: NDArray[Any], quality: int) -> NDArray[Any]:
    """The RGB frame after JPEG of `quality` 1..100 with libjpeg's 4:2:0; quality 0 leaves it as it is."""
    if quality == 0:
        return frame_HWC
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
