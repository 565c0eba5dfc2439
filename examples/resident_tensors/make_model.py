"""Writes a graph that begins a state, and one that takes it a step further."""

import numpy as np

from pipeserve_native import export

SIZE = 256

rng = np.random.default_rng(7)
scale = np.float32((2 / SIZE) ** 0.5)  # Keeps the state about as large as it is.
for name in ("begin", "step"):
    graph = export.Graph(name)
    state = graph.input("state", (SIZE, SIZE), np.float32)
    weight = graph.parameter("weight", scale * rng.standard_normal((SIZE, SIZE), np.float32))
    state = graph.relu(graph.matmul(state, weight))
    graph.output(state)
    if name == "step":  # Which also has one column to look at.
        reader = graph.parameter("reader", rng.standard_normal((SIZE, 1), np.float32))
        graph.output(graph.matmul(state, reader))
    graph.save(f"loop/1/{name}.mindir")
np.save("x.npy", rng.standard_normal((SIZE, SIZE), np.float32))
print("Wrote loop/1/begin.mindir, loop/1/step.mindir and the input x.npy")
