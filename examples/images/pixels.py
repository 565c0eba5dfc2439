"""From the bytes of an image file to what the model takes; the same for training and serving."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 16


def decode(file_bytes: bytes) -> npt.NDArray[np.float32]:
    """An image of any size and format: gray, SIDE x SIDE, with mean 0 and deviation 1, in a row."""
    with Image.open(io.BytesIO(file_bytes)) as image:
        gray = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(gray, np.float32).reshape(-1)
    normal: npt.NDArray[np.float32] = (pixels - pixels.mean()) / (pixels.std() + np.float32(1e-3))
    return normal
