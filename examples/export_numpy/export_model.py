"""Makes a model of weights.npz: version 1 in single, version 2 in half precision."""

import numpy as np
import numpy.typing as npt

from pipeserve_native import export


def perceptron(layers: dict[str, npt.NDArray[np.float32]], dtype: npt.DTypeLike) -> export.Graph:
    """Products with biases, and ReLU between them. Operators check their operands at once."""
    graph = export.Graph("mlp")
    x = graph.input("x", (-1, len(layers["weight0"])), dtype)  # Any number of rows.
    last = len(layers) // 2 - 1
    for index in range(last + 1):
        weight = graph.parameter(f"weight{index}", layers[f"weight{index}"].astype(dtype))
        bias = graph.parameter(f"bias{index}", layers[f"bias{index}"].astype(dtype))
        x = graph.bias_add(graph.matmul(x, weight), bias)
        if index < last:
            x = graph.relu(x)
    graph.output(x)
    print(f"{graph.name}: {x.dtype}, shape {x.shape}")
    return graph


def main() -> None:
    """Both versions, where a server looks for them."""
    with np.load("weights.npz") as file:
        layers = dict(file)
    perceptron(layers, np.float32).save("mlp/1/mlp.mindir")
    perceptron(layers, np.float16).save("mlp/2/mlp.mindir")
    print("Wrote mlp/1/mlp.mindir and mlp/2/mlp.mindir")


if __name__ == "__main__":
    main()
