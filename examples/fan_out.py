"""A pipeline function that runs two graphs side by side.

    python examples/fan_out.py

Writes a model of two graphs and its servable_config.py into a temporary folder, serves it in this
process and calls both pipelines: one waits for each call, the other submits them first and then
collects the results, which are the same bit for bit.
"""

from __future__ import annotations

import os
import tempfile

import numpy as np

from pipeserve_native import export, server
from pipeserve_native.client import Client

SHAPE = (256, 256)

CONFIG = '''"""Two graphs that do not need each other's results."""

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable(["left.mindir", "right.mindir"], "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def left(x):
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def right(x):
    y = register.call_servable(x, subgraph=1)
    return y


left_graph = PipelineServable(servable_name="two", method="left")
right_graph = PipelineServable(servable_name="two", method="right")


@register.register_pipeline(output_names=["left", "right"])
def one_by_one(x):
    return left_graph.run(x), right_graph.run(x)


@register.register_pipeline(output_names=["left", "right"], timeout=30)
def side_by_side(x):
    futures = left_graph.submit(x), right_graph.submit(x)
    return tuple(future.result() for future in futures)
'''


def write_model(directory: str) -> None:
    """Two graphs, each a product with its own weights, and the config."""
    version = os.path.join(directory, "two", "1")
    os.makedirs(version)
    rng = np.random.default_rng(7)
    for name in ("left", "right"):
        graph = export.Graph(name)
        x = graph.input("x", SHAPE, np.float32)
        weight = graph.parameter("weight", rng.standard_normal(SHAPE, np.float32))
        graph.output(graph.matmul(x, weight))
        graph.save(os.path.join(version, f"{name}.mindir"))
    config = os.path.join(directory, "two", "servable_config.py")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG)


def main() -> None:
    """Serves the model and calls both pipelines."""
    with tempfile.TemporaryDirectory() as directory:
        write_model(directory)
        address = f"unix:{directory}/socket"
        server.start_servables(server.ServableStartConfig(directory, "two", device_ids=0))
        server.start_grpc_server(address)
        x = np.random.default_rng(1).standard_normal(SHAPE, np.float32)
        (serial,) = Client(address, "two", "one_by_one").infer({"x": x})
        (parallel,) = Client(address, "two", "side_by_side").infer({"x": x})
        for name, value in serial.items():
            same = value.tobytes() == parallel[name].tobytes()
            print(f"{name}: {'the same' if same else 'different'}")
        server.stop()


if __name__ == "__main__":
    main()
