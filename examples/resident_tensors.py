"""A pipeline function whose loop leaves its state where the graph computed it.

    python examples/resident_tensors.py

Writes a model of two graphs and its servable_config.py into a temporary folder, serves it in this
process and calls both pipelines: one takes the state as an array in every turn, the other passes
handles and reads one column. The results are the same bit for bit.
"""

from __future__ import annotations

import os
import tempfile

import numpy as np

from pipeserve_native import export, server
from pipeserve_native.client import Client

SHAPE = (256, 256)

CONFIG = '''"""A graph that begins a state, and one that takes it a step further."""

import numpy as np

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable(["begin.mindir", "step.mindir"], "MindIR", with_batch_dim=False)


@register.register_method(output_names=["state"])
def begin(x):
    state = register.call_servable(x, subgraph=0)
    return state


@register.register_method(output_names=["state", "y"])
def step(state):
    state, y = register.call_servable(state, subgraph=1)
    return state, y


begin_graph = PipelineServable(servable_name="loop", method="begin")
step_graph = PipelineServable(servable_name="loop", method="step")


@register.register_pipeline(output_names=["seen", "state"])
def arrays(x):
    state = begin_graph.run(x)
    seen = []
    for _ in range(50):
        state, y = step_graph.run(state)
        seen.append(y)
    return np.hstack(seen), state


@register.register_pipeline(output_names=["seen", "state"])
def handles(x):
    state = begin_graph.run(x, keep=True)
    seen = []
    for _ in range(50):
        state, y = step_graph.run(state, keep=True)
        seen.append(y.numpy())
    return np.hstack(seen), state
'''


def write_model(directory: str) -> None:
    """Both graphs, products with random weights, and the config."""
    version = os.path.join(directory, "loop", "1")
    os.makedirs(version)
    rng = np.random.default_rng(7)
    scale = np.float32((2 / SHAPE[1]) ** 0.5)  # Keeps the state about as large as it is.
    for name in ("begin", "step"):
        graph = export.Graph(name)
        state = graph.input("state", SHAPE, np.float32)
        weight = graph.parameter("weight", scale * rng.standard_normal(SHAPE, np.float32))
        state = graph.relu(graph.matmul(state, weight))
        graph.output(state)
        if name == "step":
            reader = rng.standard_normal((SHAPE[1], 1), np.float32)
            graph.output(graph.matmul(state, graph.parameter("reader", reader)))
        graph.save(os.path.join(version, f"{name}.mindir"))
    config = os.path.join(directory, "loop", "servable_config.py")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG)


def main() -> None:
    """Serves the model and calls both pipelines."""
    with tempfile.TemporaryDirectory() as directory:
        write_model(directory)
        address = f"unix:{directory}/socket"
        server.start_servables(server.ServableStartConfig(directory, "loop", device_ids=0))
        server.start_grpc_server(address)
        x = np.random.default_rng(1).standard_normal(SHAPE, np.float32)
        (copied,) = Client(address, "loop", "arrays").infer({"x": x})
        (resident,) = Client(address, "loop", "handles").infer({"x": x})
        for name, value in copied.items():
            same = value.any() and value.tobytes() == resident[name].tobytes()
            print(f"{name}: {'the same' if same else 'different'}")
        server.stop()


if __name__ == "__main__":
    main()
