"""A short moving clip of a real picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut


@pytest.fixture(scope="session")
def face_clip() -> NDArray[np.uint8]:
    """(20,128,128,3): the astronaut's face, moving by one pixel a frame."""
    picture = astronaut()
    return np.stack([picture[30 + t // 2 : 158 + t // 2, 150 + t : 278 + t] for t in range(20)])
