"""Calls both pipelines, and compares what they return and how long they took."""

import time
from typing import Any

import numpy as np

from pipeserve_native.client import Client


def ask(pipeline: str, x: Any) -> tuple[dict[str, Any], float]:
    """The outputs of one pipeline, and the milliseconds a call took, at best."""
    client = Client("localhost:5500", "loop", pipeline)
    best, outputs = float("inf"), {}
    for _ in range(5):
        start = time.perf_counter()
        reply = client.infer({"x": x})
        best = min(best, time.perf_counter() - start)
        if isinstance(reply, dict):
            raise SystemExit(f"{pipeline}: {reply['error']}")
        outputs = reply[0]
    return outputs, best * 1000


if __name__ == "__main__":
    x = np.load("x.npy")
    moved, moved_ms = ask("arrays", x)
    kept, kept_ms = ask("handles", x)
    for name, value in moved.items():
        print(f"{name}: the same" if np.array_equal(value, kept[name]) else f"{name}: differs")
    print(f"arrays took {moved_ms:.1f} ms, handles {kept_ms:.1f} ms")
