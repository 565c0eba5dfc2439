"""Writes one step of Newton's iteration for the inverse of a matrix: x becomes x · (2 - a · x)."""

import numpy as np

from pipeserve_native import export

SIZE = 64

graph = export.Graph("step")
a = graph.input("a", (SIZE, SIZE), np.float32)
x = graph.input("x", (SIZE, SIZE), np.float32)
product = graph.matmul(a, x)
twice = graph.parameter("twice", 2 * np.eye(SIZE, dtype=np.float32))
graph.output(graph.matmul(x, graph.sub(twice, product)), product)
graph.save("inverse/1/step.mindir")
print("Wrote inverse/1/step.mindir")
