"""Writes the two graphs, -(x · weight), each with a weight of its own."""

import numpy as np

from pipeserve_native import export

for name, weight in (("matmul_0", 0.5), ("matmul_1", 1.5)):
    graph = export.Graph(name)
    x = graph.input("x", (128, 96), np.float32)
    w = graph.parameter("weight", np.full((96, 16), weight, np.float32))
    graph.output(graph.neg(graph.matmul(x, w)))
    graph.save(f"matmul/1/{name}.mindir")
    print(f"Wrote matmul/1/{name}.mindir")
