"""Writes two graphs, cut into two stages of two ranks each.

`embed` is relu(x · up), then · down; `score` is one product more. What is made while
`pipeline_stage` is 1 belongs to the second stage, which gets what it needs of the first.
"""

from typing import Any

import numpy as np

from pipeserve_native import export

RANKS, STAGES = 4, 2
ROWS, WIDTH, HIDDEN = 16, 32, 128

rng = np.random.default_rng(7)
weights: dict[str, Any] = {
    "up": rng.standard_normal((WIDTH, HIDDEN), np.float32) / np.float32(6),
    "down": rng.standard_normal((HIDDEN, WIDTH), np.float32) / np.float32(11),
    "head": rng.standard_normal((WIDTH, 8), np.float32) / np.float32(6),
}


def embed(graph: export.Graph, x: export.Value) -> export.Value:
    """The ranks of a stage share a product: the first cuts its columns, the second adds parts."""
    graph.pipeline_stage = 0
    up = graph.parameter("up", weights["up"])
    hidden = graph.matmul(x, up, strategy=((1, 1), (1, 2)))
    hidden = graph.relu(hidden, strategy=((1, 2),))
    graph.pipeline_stage = 1
    down = graph.parameter("down", weights["down"])
    return graph.matmul(hidden, down, strategy=((1, 2), (2, 1)))


first = export.Graph("embed")
first.output(embed(first, first.input("x", (ROWS, WIDTH), np.float32)))

second = export.Graph("score")
embedded = embed(second, second.input("x", (ROWS, WIDTH), np.float32))
second.output(second.matmul(embedded, second.parameter("head", weights["head"])))

export.save_sharded([first, second], "model", ranks=RANKS, stages=STAGES)
np.savez("weights.npz", **weights)
print(f"Wrote model/device0 to model/device{RANKS - 1}")
