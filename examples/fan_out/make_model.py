"""Writes two graphs, each a product with weights of its own."""

import numpy as np

from pipeserve_native import export

SIZE = 512

rng = np.random.default_rng(7)
for name in ("left", "right"):
    graph = export.Graph(name)
    x = graph.input("x", (SIZE, SIZE), np.float32)
    weight = graph.parameter("weight", rng.standard_normal((SIZE, SIZE), np.float32))
    graph.output(graph.matmul(x, weight))
    graph.save(f"two/1/{name}.mindir")
np.save("x.npy", rng.standard_normal((SIZE, SIZE), np.float32))
print("Wrote two/1/left.mindir, two/1/right.mindir and the input x.npy")
