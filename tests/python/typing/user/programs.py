"""Programs around a servable as a user writes them."""

from pathlib import Path
from typing import Any

import numpy as np

import pipeserve_native
from pipeserve_native import Model, ResourceExhaustedError, export, server
from pipeserve_native.client import Client, SSLConfig
from pipeserve_native.server import distributed


def write_model(path: Path) -> None:
    graph = export.Graph("matmul_0")
    x = graph.input("x", (128, 96), np.float32)
    w = graph.parameter("w", np.full((96, 16), 0.5, np.float32))
    graph.output(graph.neg(graph.matmul(x, w, strategy=((1, 8), (8, 1)))))
    graph.save(path)
    export.save_sharded([graph], path.parent, ranks=8)


def run_model(path: Path) -> list[tuple[int, ...]]:
    model = Model(path, threads=2)
    (y,) = model.run(np.ones((128, 96), np.float32))
    return [info.shape for info in model.inputs] + [y.shape]


def serve(directory: str) -> None:
    server.start_servables(
        [server.ServableStartConfig(directory, "matmul", device_ids=0, max_inflight=4)]
    )
    distributed.start_servable(directory, "other", rank_table_json_file="ranks.json")
    server.start_grpc_server("127.0.0.1:5500", max_msg_mb_size=100)
    server.start_restful_server("127.0.0.1:1500")
    copied: int = server.counters()["copied_bytes"]
    print(pipeserve_native.__version__, copied)
    server.stop()


def ask(address: str) -> dict[str, Any]:
    client = Client(address, "matmul", "predict", ssl_config=SSLConfig(custom_ca="ca.pem"))
    instances = [{"x": np.ones((128, 96), np.float32), "y": np.ones((128, 96))}]
    future = client.infer_async(instances)
    try:
        reply = future.result()
    except ResourceExhaustedError as error:
        return {"code": error.code}
    if isinstance(reply, dict):
        raise RuntimeError(reply["error"])
    return reply[0]


def embed(directory: str) -> Any:
    with pipeserve_native.load(directory, threads=1) as model:
        x, z = model.predict(np.ones((128, 96), np.float32), y=np.ones((128, 96), np.float32))
        names: list[str] = [*model.predict.input_names, *model.callables]
        print(model.name, model.version, names, model["predict"].output_names)
        return x + z
