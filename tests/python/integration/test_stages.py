"""Models in stages, through real agents, against the same model in one piece."""

import itertools
import json
import os
import queue
import signal
import sys
import threading

import numpy as np
import pytest

from pipeserve_native import Model, export
from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")
ROWS, WIDTH = 8, 16
CALLS = 20

CONFIG = """
from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

distributed.declare_servable(rank_size={ranks}, stage_size=2, with_batch_dim=False)


@register.register_method(output_names=["y"])
def begin(x):
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def step(x):
    y = register.call_servable(x, subgraph=1)
    return y


begin_graph = PipelineServable("staged", "begin")
step_graph = PipelineServable("staged", "step")


@register.register_pipeline(output_names=["y", "z"])
def predict(x):
    y = begin_graph.run(x)
    z = y
    for _ in range({calls}):
        z = step_graph.run(z)
    return y, z
"""


def weight(seed, is_exact):
    """Any numbers, or one of 1 or -1 in each row and column: integers stay integers, and small."""
    rng = np.random.default_rng(seed)
    if not is_exact:
        return rng.standard_normal((WIDTH, WIDTH), np.float32) / np.float32(4)
    signs = rng.choice([-1, 1], (WIDTH, 1))
    return (np.eye(WIDTH)[rng.permutation(WIDTH)] * signs).astype(np.float32)


def make_graph(name, seed, per_stage):
    """relu(x a) b + x: the second stage needs both what the first computes and the input."""
    up = ((1, 1), (1, per_stage)) if per_stage > 1 else None
    down = ((1, per_stage), (per_stage, 1)) if per_stage > 1 else None
    graph = export.Graph(name)
    x = graph.input("x", (ROWS, WIDTH), np.float32)
    first = graph.parameter("a", weight(seed, per_stage > 1))
    hidden = graph.relu(graph.matmul(x, first, strategy=up))
    graph.pipeline_stage = 1
    second = graph.parameter("b", weight(seed + 1, per_stage > 1))
    graph.output(graph.add(graph.matmul(hidden, second, strategy=down), x))
    return graph


class Service:
    """A model in two stages, its server and its agents, and what they must answer."""

    def __init__(self, start, free_port, folder, per_stage, lane, all_take_inputs, collectives):
        ranks = 2 * per_stage
        # Parts that ranks add up round otherwise than the whole, so that they have to be exact.
        graphs = [make_graph(name, seed, per_stage) for name, seed in (("begin", 1), ("step", 3))]
        export.save_sharded(
            graphs,
            folder / "model",
            ranks=ranks,
            stages=2,
            all_stages_take_inputs=all_take_inputs,
        )
        for graph in graphs:
            graph.save(folder / f"{graph.name}.mindir")
        (folder / "staged").mkdir()
        (folder / "staged/servable_config.py").write_text(CONFIG.format(ranks=ranks, calls=CALLS))
        devices = [{"device_id": str(i), "rank_id": str(i)} for i in range(ranks)]
        table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
        (folder / "table.json").write_text(json.dumps(table))
        self._models = [Model(folder / f"{name}.mindir") for name in ("begin", "step")]
        server = start(
            *[PIPESERVE, "serve", folder / "staged", "--rank-table", folder / "table.json"],
            *["--distributed-address", "127.0.0.1:0", "--lane", lane],
            *["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""],
        )
        door = server.wait_for(r"agents to register at (\S+)")[1]
        ports = ["--start-port", free_port(ranks)]
        models = ["--models", folder / "model", "--max-restarts", -1]
        ways = ["--collectives", collectives]
        self.launcher = start(PIPESERVE, "agent", door, *models, *ports, *ways)
        self.address = server.wait_for(r"gRPC server start success, listening on (\S+)")[1]

    def expected(self, x):
        (y,) = self._models[0].run(x)
        z = y
        for _ in range(CALLS):
            (z,) = self._models[1].run(z)
        return y, z

    def is_right(self, client, x):
        (reply,) = client.infer({"x": x})
        y, z = self.expected(x)
        return np.array_equal(reply["y"], y) and np.array_equal(reply["z"], z)


def number(seed):
    return np.random.default_rng(seed).integers(-3, 4, (ROWS, WIDTH)).astype(np.float32)


@pytest.fixture
def serve_stages(start, free_port, tmp_path):
    def serve(per_stage=1, lane="auto", all_take_inputs=False, collectives="auto"):
        options = (per_stage, lane, all_take_inputs, collectives)
        return Service(start, free_port, tmp_path, *options)

    return serve


@pytest.mark.parametrize("lane", ["shm", "grpc"])
@pytest.mark.parametrize("per_stage", [1, 4])
@pytest.mark.parametrize("all_take_inputs", [False, True])
def test_stages_answer_as_the_whole_model(serve_stages, per_stage, lane, all_take_inputs):
    expect_right_answers(serve_stages(per_stage, lane, all_take_inputs))


@pytest.mark.parametrize("collectives", ["shm", "socket", "gloo"])
def test_messages_go_by_whatever_the_agents_use(serve_stages, collectives):
    expect_right_answers(serve_stages(per_stage=2, collectives=collectives))


def expect_right_answers(service):
    """From several clients at once."""
    wrong = []

    def ask(seed):
        client = Client(service.address, "staged", "predict")
        for i in range(5):
            if not service.is_right(client, number(100 * seed + i)):
                wrong.append((seed, i))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_requests_outlive_the_death_of_each_stage(serve_stages):
    service = serve_stages()
    answers = queue.Queue()
    stop = threading.Event()

    def ask():
        client = Client(service.address, "staged", "predict")
        for seed in itertools.count():
            if stop.is_set():
                return
            answers.put(service.is_right(client, number(seed)))

    def expect_more():
        for _ in range(10):
            assert answers.get(timeout=60)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        expect_more()
        for rank in (1, 0, 1):
            os.kill(service.launcher.agents()[rank], signal.SIGKILL)
            while not answers.empty():
                assert answers.get()
            expect_more()
    finally:
        stop.set()
        asker.join()
    assert service.launcher.output.count("ended with exit code -9, starting it again") == 3


def test_stages_that_do_not_fit_together_are_refused(serve_stages, start, free_port, tmp_path):
    """Rank 1 has graphs of another model, which wait for what rank 0 does not send."""
    (tmp_path / "other").mkdir()
    graph = export.Graph("begin")
    x = graph.input("x", (ROWS, WIDTH), np.float32)
    first = graph.neg(x)
    second = graph.neg(first)
    graph.pipeline_stage = 1
    graph.output(graph.add(first, second))
    export.save_sharded([graph], tmp_path / "other", ranks=2, stages=2)
    devices = [{"device_id": str(i), "rank_id": str(i)} for i in range(2)]
    table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
    (tmp_path / "table.json").write_text(json.dumps(table))
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged/servable_config.py").write_text(CONFIG.format(ranks=2, calls=1))
    other = export.Graph("begin")
    x = other.input("x", (ROWS, WIDTH), np.float32)
    first = other.neg(x)
    other.pipeline_stage = 1
    other.output(other.neg(first))
    export.save_sharded([other], tmp_path / "model", ranks=2, stages=2)
    os.replace(tmp_path / "other/device1/begin.mindir", tmp_path / "model/device1/begin.mindir")
    server = start(
        *[PIPESERVE, "serve", tmp_path / "staged", "--rank-table", tmp_path / "table.json"],
        *["--distributed-address", "127.0.0.1:0"],
        *["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""],
    )
    door = server.wait_for(r"agents to register at (\S+)")[1]
    agents = start(
        *[PIPESERVE, "agent", door, "--models", tmp_path / "model"],
        *["--start-port", free_port(2)],
    )
    assert agents.wait() != 0
    assert "Rank 0 sends nothing to rank 1, which receives message 1" in agents.output
