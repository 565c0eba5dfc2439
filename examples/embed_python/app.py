"""Calls a pipeline of a servable that this process has loaded itself: no server, no socket."""

import numpy as np

import pipeserve_native


def main() -> None:
    """Inverts a matrix, and one that has no inverse."""
    rng = np.random.default_rng(7)
    matrix = np.eye(64, dtype=np.float32) + rng.standard_normal((64, 64), np.float32) / 20
    with pipeserve_native.load("inverse") as inverse:
        print(inverse)
        print("takes", inverse.invert.input_names, "and returns", inverse.invert.output_names)
        x, steps = inverse.invert(matrix, tolerance=1e-4)
        print(f"a · x is 1 after {steps} steps:", np.allclose(matrix @ x, np.eye(64), atol=1e-3))
        try:
            inverse.invert(np.ones((64, 64), np.float32), tolerance=1e-4)
        except pipeserve_native.Error as error:
            print(error)


if __name__ == "__main__":
    main()
