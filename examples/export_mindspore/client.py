"""Calls the pipeline and compares with what MindSpore computed."""

import numpy as np

from pipeserve_native.client import Client


def main() -> None:
    """Asks once."""
    with np.load("expected.npz") as file:
        x, expected = file["x"], file["y"]
    reply = Client("localhost:5500", "loop", "predict").infer({"x": x})
    if isinstance(reply, dict):
        raise SystemExit(reply["error"])
    print("As MindSpore says:", np.allclose(reply[0]["y"], expected, rtol=1e-4, atol=1e-4))


if __name__ == "__main__":
    main()
