"""Calls the pipeline from several threads, and does the same in numpy with the whole weights."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pipeserve_native.client import Client

REQUESTS = 20


def expected(x: Any) -> Any:
    """What the stages should say together."""
    with np.load("weights.npz") as weights:
        for _ in range(2):
            x = np.maximum(x @ weights["up"], 0) @ weights["down"]
        return x @ weights["head"]


def is_right(client: Client, seed: int) -> bool:
    """Asks once."""
    x = np.random.default_rng(seed).standard_normal((16, 32), np.float32)
    reply = client.infer({"x": x})
    if isinstance(reply, dict):
        raise SystemExit(reply["error"])
    return np.allclose(reply[0]["scores"], expected(x), rtol=1e-3, atol=1e-3)


def main() -> None:
    """Asks four times at once."""
    client = Client("localhost:5500", "layers", "predict")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda seed: is_right(client, seed), range(REQUESTS)))
    print(f"{sum(answers)} of {REQUESTS} are as numpy says")


if __name__ == "__main__":
    main()
