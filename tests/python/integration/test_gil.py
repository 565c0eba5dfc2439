"""Pipeline functions share one interpreter: none of them can hold the others up for good."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeserve_native import export
from pipeserve_native.client import Client

CONFIG = """
import threading

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable("double.mindir", "MindIR", with_batch_dim=False)
let_go = threading.Event()


@register.register_method(output_names=["y"])
def double(a):
    y = register.call_servable(a, a)
    return y


def same(a):
    return a


@register.register_method(output_names=["y"])
def double_between(a):
    a = register.call_preprocess(same, a)
    y = register.call_servable(a, a)
    y = register.call_postprocess(same, y)
    return y


double_servable = PipelineServable("shared", "double")
between_servable = PipelineServable("shared", "double_between")


@register.register_pipeline(output_names=["y"])
def many(a):
    for _ in range(50):
        y = double_servable.run(a)
        y = between_servable.run(y)
    return y


of_thread = threading.local()


@register.register_pipeline(output_names=["count"])
def counts(a):
    of_thread.count = getattr(of_thread, "count", 0) + 1
    return of_thread.count


@register.register_pipeline(output_names=["came"], timeout=30)
def waits(a):
    return let_go.wait(timeout=20)


@register.register_pipeline(output_names=["y"], timeout=30)
def lets_go(a):
    y = many(a)
    let_go.set()
    return y
"""

SERVER = """
import os
from pipeserve_native import server

here = os.path.dirname(os.path.realpath(__file__))
server.configure(max_inflight=4)
server.start_servables(server.ServableStartConfig(here, "shared", device_ids=0))
server.start_grpc_server("127.0.0.1:0")
"""


@pytest.fixture
def address(start_script, tmp_path):
    """Of a server whose graph is done in no time."""
    folder = tmp_path / "shared" / "1"
    folder.mkdir(parents=True)
    graph = export.Graph("double")
    graph.output(graph.add(graph.input("a", (2,), np.float32), graph.input("b", (2,), np.float32)))
    graph.save(str(folder / "double.mindir"))
    (tmp_path / "shared" / "servable_config.py").write_text(CONFIG)
    server = start_script("server.py", SERVER)
    return server.wait_for(r"gRPC server start success, listening on (\S+)").group(1)


def call(address, method, value):
    """One request of one value; the first output."""
    reply = Client(address, "shared", method).infer({"a": np.full(2, value, np.float32)})
    assert isinstance(reply, list), reply
    return next(iter(reply[0].values()))


def test_functions_that_call_quick_graphs_side_by_side_get_their_own_results(address):
    values = range(64)
    with ThreadPoolExecutor(8) as clients:
        results = list(clients.map(lambda value: call(address, "many", value), values))
    for value, result in zip(values, results, strict=True):
        np.testing.assert_array_equal(result, [4 * value, 4 * value])


def test_a_function_that_waits_for_another_request_lets_it_run(address):
    with ThreadPoolExecutor(8) as clients:
        waiting = [clients.submit(call, address, "waits", 1) for _ in range(3)]
        assert call(address, "lets_go", 2)[0] == 8
        assert all(each.result() for each in waiting)


def test_a_runner_keeps_its_python_thread_state(address):
    counts = [call(address, "counts", 0) for _ in range(20)]
    assert max(counts) >= 5  # Of one of four runners.
