"""Calls both pipelines and compares what they return, bit for bit."""

from typing import Any

import numpy as np

from pipeserve_native.client import Client


def ask(pipeline: str, x: Any) -> dict[str, Any]:
    """The outputs of one pipeline."""
    reply = Client("localhost:5500", "two", pipeline).infer({"x": x})
    if isinstance(reply, dict):
        raise SystemExit(f"{pipeline}: {reply['error']}")
    return reply[0]


if __name__ == "__main__":
    x = np.load("x.npy")
    serial, parallel = ask("one_by_one", x), ask("side_by_side", x)
    for name, value in serial.items():
        print(f"{name}: the same" if np.array_equal(value, parallel[name]) else f"{name}: differs")
