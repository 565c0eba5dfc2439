"""A complete example on disk: two graphs cut over eight ranks, and the scripts around them."""

from __future__ import annotations

import json
import os

import numpy as np

from pipeserve_native import export

_RANKS = 8

_CONFIG = '''"""One request: graph 0 once on x + x, then graph 1 {calls} times on y."""

import numpy as np

from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

{declaration}


def double(x):
    return np.add(x, x)


@register.register_method(output_names=["y"])
def first(x):
    x = register.call_preprocess(double, x)
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def step(x):
    y = register.call_servable(x, subgraph=1)
    return y


first_graph = PipelineServable(servable_name="matmul", method="first")
step_graph = PipelineServable(servable_name="matmul", method="step")


@register.register_pipeline(output_names=["x", "z"])
def predict(x, y):
    x = first_graph.run(x)
    for _ in range({calls}):
        z = step_graph.run(y)
    return x, z
'''

_SERVER = '''"""Waits for the agents, then serves; run it first."""

import os

from pipeserve_native import server
from pipeserve_native.server import distributed

if __name__ == "__main__":
    here = os.path.dirname(os.path.realpath(__file__))
    distributed.start_servable(
        here,
        "matmul",
        rank_table_json_file="rank_table_8pcs.json",
        version_number=1,
        distributed_address="127.0.0.1:6200",
    )
    server.start_grpc_server("127.0.0.1:5500")
    server.start_restful_server("127.0.0.1:1500")
'''

_AGENT = '''"""Starts the eight agents; run it second."""

from pipeserve_native.server import distributed

if __name__ == "__main__":
    devices = [f"model/device{rank}" for rank in range(8)]
    distributed.startup_agents(
        distributed_address="127.0.0.1:6200",
        model_files=[[f"{d}/matmul_0.mindir", f"{d}/matmul_1.mindir"] for d in devices],
        group_config_files=[[f"{d}/group_config.pb"] for d in devices],
    )
'''

_CLIENT = '''"""Calls the pipeline; run it third. x is all -96, z all -144."""

import numpy as np

from pipeserve_native.client import Client

if __name__ == "__main__":
    client = Client("localhost:5500", "matmul", "predict")
    ones = np.ones((128, 96), np.float32)
    print(client.infer({"x": ones, "y": ones}))
'''


def config(declaration: str, calls: int = 10) -> str:
    """A ``servable_config.py`` whose pipeline is called "predict"."""
    return _CONFIG.format(declaration=declaration, calls=calls)


def declare_distributed(ranks: int) -> str:
    """The declaration of a servable of ``ranks`` agents."""
    return f"distributed.declare_servable(rank_size={ranks}, stage_size=1, with_batch_dim=False)"


def _graph(name: str, weight: float) -> export.Graph:
    graph = export.Graph(name)
    x = graph.input("x", (128, 96), np.float32)
    w = graph.parameter("weight", np.full((96, 16), weight, np.float32))
    product = graph.matmul(x, w, strategy=((1, _RANKS), (_RANKS, 1)))
    graph.output(graph.neg(product))
    return graph


def rank_table(ranks: int) -> str:
    """A rank table for ``ranks`` agents on this machine."""
    devices = [
        {"device_id": str(rank), "device_ip": f"192.0.2.{rank + 1}", "rank_id": str(rank)}
        for rank in range(ranks)
    ]
    server = {"server_id": "127.0.0.1", "device": devices}
    table = {"version": "1.0", "server_count": "1", "server_list": [server], "status": "completed"}
    return json.dumps(table, indent=2) + "\n"


def write(directory: str) -> None:
    """Writes everything into ``directory``; says what to do with it."""
    graphs = [_graph("matmul_0", 0.5), _graph("matmul_1", 1.5)]
    export.save_sharded(graphs, os.path.join(directory, "model"), ranks=_RANKS)
    os.makedirs(os.path.join(directory, "matmul"), exist_ok=True)
    for name, content in (
        ("matmul/servable_config.py", config(declare_distributed(_RANKS))),
        ("rank_table_8pcs.json", rank_table(_RANKS)),
        ("serving_server.py", _SERVER),
        ("serving_agent.py", _AGENT),
        ("serving_client.py", _CLIENT),
    ):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(content)
    print(
        f"Wrote {directory}. Run its serving_server.py, serving_agent.py and serving_client.py, "
        "in this order."
    )
