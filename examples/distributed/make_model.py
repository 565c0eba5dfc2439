"""Writes two feed-forward blocks, relu(x · up) · down, each cut into eight shards.

`up` is cut into columns and `down` into rows, so that a rank needs nothing of the others until
the very end, where the eight parts are added up.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeserve_native import export

RANKS = 8
ROWS, WIDTH, HIDDEN = 16, 64, 256


def block(
    name: str, up_weight: npt.NDArray[np.float32], down_weight: npt.NDArray[np.float32]
) -> export.Graph:
    """One graph; a strategy says, operand by operand, into how many pieces each dimension goes."""
    graph = export.Graph(name)
    x = graph.input("x", (ROWS, WIDTH), np.float32)
    up = graph.parameter("up", up_weight)
    down = graph.parameter("down", down_weight)
    hidden = graph.matmul(x, up, strategy=((1, 1), (1, RANKS)))
    hidden = graph.relu(hidden, strategy=((1, RANKS),))
    graph.output(graph.matmul(hidden, down, strategy=((1, RANKS), (RANKS, 1))))
    return graph


rng = np.random.default_rng(7)
weights: dict[str, Any] = {}
for name in ("begin", "step"):
    weights[f"{name}_up"] = rng.standard_normal((WIDTH, HIDDEN), np.float32) / np.float32(8)
    weights[f"{name}_down"] = rng.standard_normal((HIDDEN, WIDTH), np.float32) / np.float32(11)

graphs = [block(name, weights[f"{name}_up"], weights[f"{name}_down"]) for name in ("begin", "step")]
export.save_sharded(graphs, "model", ranks=RANKS)
np.savez("weights.npz", **weights)
print(f"Wrote model/device0 to model/device{RANKS - 1}")
