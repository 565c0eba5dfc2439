"""The bytes of an image in, a label and its score out; the graph sees several images at a time."""

from typing import Any

import numpy as np
from drawing import LABELS
from pixels import decode

from pipeserve_native.server import register

register.declare_servable("stripes.mindir", "MindIR", with_batch_dim=True)


def decode_image(image: Any) -> Any:
    """Of one instance. Bytes come as an array of uint8."""
    return decode(image.tobytes())


def name_class(logits: Any) -> tuple[str, np.float32]:
    """Of one instance: the likeliest label, and how likely it is."""
    scores = np.exp(logits - logits.max())
    best = int(scores.argmax())
    return LABELS[best], np.float32(scores[best] / scores.sum())


@register.register_method(output_names=["label", "score"])
def classify(image: Any) -> Any:
    """From the bytes of a PNG or JPEG file."""
    pixels = register.call_preprocess(decode_image, image)
    logits = register.call_servable(pixels)
    label, score = register.call_postprocess(name_class, logits)
    return label, score
