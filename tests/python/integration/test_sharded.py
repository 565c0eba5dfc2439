"""Every sharded model that MindSpore wrote, through real agents, against its stored values."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")

CONFIG = """
from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

distributed.declare_servable(rank_size={ranks}, stage_size=1, with_batch_dim=False)


@register.register_method(output_names=["y"])
def first(x):
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def last(x):
    y = register.call_servable(x, subgraph={last})
    return y


first_graph = PipelineServable("sharded", "first")
last_graph = PipelineServable("sharded", "last")


@register.register_pipeline(output_names=["first", "last"])
def predict(x):
    return first_graph.run(x), last_graph.run(x)
"""

CASES = {
    "v1.3-nccl/seed_8": ["matmul_0", "matmul_1"],
    "v1.3-nccl/row_8": ["matmul_rand"],
    "v2.10-hccl/seed_8": ["matmul_0", "matmul_1"],
    "v2.10-hccl/col_8": ["matmul_rand"],
    "v2.10-hccl/mix_4": ["matmul_rand"],
}


def write_servable(folder, ranks, graphs):
    (folder / "sharded").mkdir()
    config = CONFIG.format(ranks=ranks, last=graphs - 1)
    (folder / "sharded/servable_config.py").write_text(config)
    devices = [{"device_id": str(i), "rank_id": str(i)} for i in range(ranks)]
    table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
    (folder / "table.json").write_text(json.dumps(table))


@pytest.fixture
def serve_sharded(start, free_port, tmp_path):
    """Starts a server and the agents of a model folder; the client when they are ready."""

    def serve(models, ranks, graphs):
        write_servable(tmp_path, ranks, graphs)
        server = start(
            *[PIPESERVE, "serve", tmp_path / "sharded", "--rank-table", tmp_path / "table.json"],
            *["--distributed-address", "127.0.0.1:0"],
            *["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""],
        )
        door = server.wait_for(r"agents to register at (\S+)")[1]
        start(PIPESERVE, "agent", door, "--models", models, "--start-port", free_port(ranks))
        address = server.wait_for(r"gRPC server start success, listening on (\S+)")[1]
        return Client(address, "sharded", "predict")

    return serve


@pytest.mark.parametrize("case", CASES)
def test_agents_give_the_stored_values(case, shared_dir, serve_sharded):
    graphs = CASES[case]
    models = shared_dir / "mindir/sharded" / case
    ranks = len(list(models.iterdir()))
    client = serve_sharded(models, ranks, len(graphs))
    for name, output in ((graphs[0], "first"), (graphs[-1], "last")):
        with np.load(shared_dir / f"mindir/data/{name}.npz") as data:
            (reply,) = client.infer({"x": data["in0"]})
            # A value near zero is a sum of larger terms and holds their rounding.
            np.testing.assert_allclose(reply[output], data["out0"], rtol=1e-5, atol=1e-6)


def test_one_file_may_be_both_graphs(shared_dir, tmp_path, serve_sharded):
    """The printed -48 of the specification: its script exports the first network twice."""
    for rank in range(8):
        source = shared_dir / f"mindir/sharded/v1.3-nccl/seed_8/device{rank}"
        target = tmp_path / f"model/device{rank}"
        target.mkdir(parents=True)
        shutil.copy(source / "group_config.pb", target)
        for index in range(2):
            shutil.copy(source / "matmul_0.mindir", target / f"matmul_{index}.mindir")
    client = serve_sharded(tmp_path / "model", 8, 2)
    (reply,) = client.infer({"x": np.ones((128, 96), np.float32)})
    np.testing.assert_array_equal(reply["last"], np.full((128, 16), -48, np.float32))


def test_a_rank_table_of_another_size(tmp_path, start):
    write_servable(tmp_path, ranks=4, graphs=1)
    (tmp_path / "sharded/servable_config.py").write_text(CONFIG.format(ranks=8, last=0))
    table = ["--rank-table", tmp_path / "table.json"]
    server = start(PIPESERVE, "serve", tmp_path / "sharded", *table, "--admin-address", "")
    assert server.wait() == 1
    assert "Rank size 4 declared in rank table file" in server.output
    assert "not equal to 8 declared in servable config" in server.output
