"""What a request costs besides its arithmetic: copies, wake-ups, page faults."""

import os
import sys

import numpy as np
import pytest

from pipeserve_native import export
from pipeserve_native._demo import rank_table
from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")
CALLS = 11
REQUESTS = 100
BATCHES = 5
X = np.ones((128, 96), np.float32)
ANY = np.zeros((1,), np.int8)

CONFIG = """
import numpy as np
from pipeserve_native import server
from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

{declaration}


@register.register_method(output_names=["z"])
def step(x):
    z = register.call_servable(x)
    return z


step_graph = PipelineServable("costs", "step")


@register.register_pipeline(output_names=["z"])
def predict(x, y):
    z = step_graph.run(x)
    for _ in range(10):
        z = step_graph.run(y)
    return z


@register.register_pipeline(output_names=["copied_bytes", "thread_wakeups", "page_faults"])
def counters(a):
    now = server.counters()
    return tuple(np.int64(now[name]) for name in ("copied_bytes", "thread_wakeups", "page_faults"))
"""


def graph(ranks):
    made = export.Graph("step")
    x = made.input("x", X.shape, np.float32)
    weight = made.parameter("weight", np.ones((96, 16), np.float32))
    strategy = ((1, ranks), (ranks, 1)) if ranks > 1 else None
    made.output(made.neg(made.matmul(x, weight, strategy=strategy)))
    return made


@pytest.fixture
def local(tmp_path, start):
    version = tmp_path / "costs/1"
    version.mkdir(parents=True)
    graph(1).save(str(version / "step.mindir"))
    declaration = 'register.declare_servable("step.mindir", "MindIR", with_batch_dim=False)'
    (tmp_path / "costs/servable_config.py").write_text(CONFIG.format(declaration=declaration))
    doors = ["--grpc-address", "127.0.0.1:0", "--admin-address", ""]
    server = start(PIPESERVE, "serve", "costs", *doors)
    return server.wait_for(r"gRPC server start success, listening on (\S+)")[1]


@pytest.fixture
def distributed(tmp_path, start, free_port):
    export.save_sharded([graph(2)], str(tmp_path / "model"), ranks=2)
    (tmp_path / "costs").mkdir()
    declaration = "distributed.declare_servable(rank_size=2, stage_size=1, with_batch_dim=False)"
    (tmp_path / "costs/servable_config.py").write_text(CONFIG.format(declaration=declaration))
    (tmp_path / "ranks.json").write_text(rank_table(2))
    server = start(
        PIPESERVE, "serve", "costs", "--rank-table", "ranks.json",
        "--distributed-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0",
        "--admin-address", "",
    )  # fmt: skip
    door = server.wait_for(r"agents to register at (\S+)")[1]
    start(PIPESERVE, "agent", door, "--models", "model", "--start-port", str(free_port(2)))
    return server.wait_for(r"gRPC server start success, listening on (\S+)")[1]


def costs_per_request(address):
    """Of `predict`: (copied bytes, wake-ups, page faults), less what asking for them costs.

    The least of some batches: a machine that is busy with something else makes ranks lag, so that
    memory is used for the first time or threads wake for nothing.
    """
    counters = Client(address, "costs", "counters")
    predict = Client(address, "costs", "predict")

    def now():
        reply = counters.infer({"a": ANY})[0]
        return np.array([reply[name] for name in sorted(reply)], np.int64).ravel()

    def ask():
        reply = predict.infer({"x": X, "y": X})
        assert reply[0]["z"][0, 0] == -96

    def batch():
        start = now()
        to_ask = now() - start
        for _ in range(REQUESTS):
            ask()
        return (now() - start - 2 * to_ask) / REQUESTS

    batch()
    copied, faults, wakeups = np.min([batch() for _ in range(BATCHES)], axis=0)
    return copied, wakeups, faults


def test_in_one_process_an_input_is_copied_once_and_one_thread_woken(local):
    copied, wakeups, faults = costs_per_request(local)
    assert copied == 2 * X.nbytes
    assert wakeups <= 1.1
    assert faults < 1


def test_with_agents_an_input_is_copied_once_and_a_thread_woken_per_call(distributed):
    copied, wakeups, faults = costs_per_request(distributed)
    assert copied == 2 * X.nbytes
    assert wakeups <= 1.1 + CALLS
    assert faults < 1
