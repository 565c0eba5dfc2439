"""Trains a classifier of stripes with numpy, exports it, and draws some images to ask about."""

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
from drawing import LABELS, draw
from pixels import SIDE, decode

from pipeserve_native import export

BATCH, HIDDEN = 8, 32  # A call takes up to BATCH images.

Array = npt.NDArray[np.float32]


def examples(count: int, rng: np.random.Generator) -> tuple[Array, npt.NDArray[np.int64]]:
    """Decoded images, and the index of the label of each."""
    classes = rng.integers(0, len(LABELS), count)
    return np.stack([decode(draw(LABELS[i], rng, "PNG")) for i in classes]), classes


def train(rng: np.random.Generator) -> list[Array]:
    """Two layers: weight, bias, weight, bias. Plain gradient descent."""
    x, classes = examples(1000, rng)
    wanted = np.eye(len(LABELS), dtype=np.float32)[classes]
    sizes = (SIDE * SIDE, HIDDEN, len(LABELS))
    w1, w2 = (
        rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
        for rows, columns in itertools.pairwise(sizes)
    )
    parameters = [w1, np.zeros(HIDDEN, np.float32), w2, np.zeros(len(LABELS), np.float32)]
    for _ in range(30):
        for rows in np.array_split(rng.permutation(len(x)), 40):
            w1, b1, w2, b2 = parameters
            hidden = np.maximum(x[rows] @ w1 + b1, 0)
            logits = hidden @ w2 + b2
            scores = np.exp(logits - logits.max(1, keepdims=True))
            error = (scores / scores.sum(1, keepdims=True) - wanted[rows]) / len(rows)
            back = error @ w2.T * (hidden > 0)
            gradients = [x[rows].T @ back, back.sum(0), hidden.T @ error, error.sum(0)]
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= np.float32(0.1) * gradient
    return parameters


def accuracy(parameters: list[Array], rng: np.random.Generator) -> float:
    """How many images that it has not seen it names rightly."""
    x, classes = examples(500, rng)
    w1, b1, w2, b2 = parameters
    logits = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    return float(np.mean(logits.argmax(1) == classes))


def save(parameters: list[Array], path: str) -> None:
    """The classifier as a graph, from pixels to logits."""
    graph = export.Graph("stripes")
    w1, b1, w2, b2 = (
        graph.parameter(name, value)
        for name, value in zip(("w1", "b1", "w2", "b2"), parameters, strict=True)
    )
    pixels = graph.input("pixels", (BATCH, SIDE * SIDE), np.float32)
    hidden = graph.relu(graph.bias_add(graph.matmul(pixels, w1), b1))
    graph.output(graph.bias_add(graph.matmul(hidden, w2), b2))
    graph.save(path)


def main() -> None:
    """Everything, from the same random numbers each time."""
    rng = np.random.default_rng(7)
    parameters = train(rng)
    print(f"Trained: {accuracy(parameters, rng):.0%} of 500 new images are named rightly")
    save(parameters, "stripes/1/stripes.mindir")
    for name, file_format in (("horizontal.png", "PNG"), ("vertical.jpg", "JPEG")):
        Path(name).write_bytes(draw(Path(name).stem, rng, file_format))
    Path("diagonal.png").write_bytes(draw("diagonal", rng, "PNG"))
    print("Wrote stripes/1/stripes.mindir, horizontal.png, vertical.jpg and diagonal.png")


if __name__ == "__main__":
    main()
