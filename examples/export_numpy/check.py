"""Loads both versions into this process and compares them with numpy."""

from typing import Any

import numpy as np

import pipeserve_native


def expected(x: Any) -> Any:
    """What the weights say."""
    with np.load("weights.npz") as layers:
        for index in range(3):
            x = x @ layers[f"weight{index}"] + layers[f"bias{index}"]
            x = np.maximum(x, 0) if index < 2 else x
    return x


if __name__ == "__main__":
    x = np.random.default_rng(1).random((5, 784), np.float32)
    wanted = expected(x)
    for version, dtype, tolerance in ((1, np.float32, 1e-5), (2, np.float16, 1e-2)):
        with pipeserve_native.load("mlp", version=version) as mlp:
            y = mlp.predict(x.astype(dtype))
        error = np.abs(y - wanted).max() / np.abs(wanted).max()
        print(f"Version {version}, {y.dtype}{y.shape}: as numpy says: {error < tolerance}")
