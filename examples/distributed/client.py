"""Calls the pipeline, and does the same in numpy with the whole weights."""

from typing import Any

import numpy as np

from pipeserve_native.client import Client

STEPS = 5


def expected(x: Any) -> Any:
    """What the ranks should say together."""
    with np.load("weights.npz") as weights:
        y = np.maximum(x @ weights["begin_up"], 0) @ weights["begin_down"]
        for _ in range(STEPS):
            y = np.maximum(y @ weights["step_up"], 0) @ weights["step_down"]
    return y


def main() -> None:
    """Asks once."""
    x = np.random.default_rng(1).standard_normal((16, 64), np.float32)
    client = Client("localhost:5500", "blocks", "predict")
    reply = client.infer({"x": x, "steps": STEPS})
    if isinstance(reply, dict):
        raise SystemExit(reply["error"])
    y = reply[0]["y"]
    print(f"y is {y.dtype}{y.shape}, its first element {y[0, 0]:.3f}")
    print("As numpy says:", np.allclose(y, expected(x), rtol=1e-3, atol=1e-3))


if __name__ == "__main__":
    main()
