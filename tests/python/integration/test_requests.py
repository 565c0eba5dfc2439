"""How requests end: at their deadline, with their client, or refused."""

import http.client
import json
import time

import numpy as np
import pytest

from pipeserve_native import export
from pipeserve_native.client import Client

CONFIG = """
import threading

import numpy as np
from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable("add.mindir", "MindIR", with_batch_dim=False)
seen = []
seen_one = threading.Condition()
started = threading.Event()


@register.register_method(output_names=["y"])
def add(a):
    y = register.call_servable(a, a)
    return y


add_servable = PipelineServable("slow", "add")


@register.register_pipeline(output_names=["y"], timeout=0.3)
def limited(a):
    return until_refused(a)


@register.register_pipeline(output_names=["y"])
def endless(a):
    return until_refused(a)


def until_refused(a):
    started.set()
    while True:
        try:
            add_servable.run(a)
        except Exception as error:
            with seen_one:
                seen.append(f"{type(error).__name__}: {error}")
                seen_one.notify_all()
            raise


@register.register_pipeline(output_names=["started"], timeout=30)
def has_started(a):
    return started.wait(timeout=20)


@register.register_pipeline(output_names=["text"], timeout=30)
def what_was_seen(a):
    with seen_one:
        seen_one.wait_for(lambda: seen, timeout=20)
        return seen.pop(0)
"""

SERVER = """
import os, sys
from pipeserve_native import server

here = os.path.dirname(os.path.realpath(__file__))
server.configure(max_inflight=2, max_enqueued_bytes=4000, max_request_seconds=%s)
server.start_servables(server.ServableStartConfig(here, "slow", device_ids=0))
server.start_grpc_server("127.0.0.1:0")
server.start_restful_server("127.0.0.1:0", http_status_codes=True)
"""

A = np.ones((2, 3), np.float32)


@pytest.fixture
def serve(tmp_path, start_script):
    version = tmp_path / "slow" / "1"
    version.mkdir(parents=True)
    (tmp_path / "slow" / "servable_config.py").write_text(CONFIG)
    graph = export.Graph("add")
    a, b = (graph.input(name, A.shape, np.float32) for name in "ab")
    graph.output(graph.add(a, b))
    graph.save(str(version / "add.mindir"))

    def run(max_request_seconds=None):
        program = start_script("server.py", SERVER % max_request_seconds)
        grpc = program.wait_for(r"gRPC server start success, listening on (\S+)")[1]
        rest = program.wait_for(r"RESTful server start success, listening on (\S+)")[1]
        return grpc, rest

    return run


def ask(address, method, value=A):
    return Client(address, "slow", method).infer({"a": value})


def post(address, method, headers=None, value=A):
    connection = http.client.HTTPConnection(address, timeout=30)
    body = json.dumps({"instances": {"a": value.tolist()}})
    connection.request("POST", f"/model/slow:{method}", body, headers or {})
    return connection


def what_was_seen(address):
    return ask(address, "what_was_seen")[0]["text"]


def test_a_pipeline_is_answered_at_its_timeout_and_its_next_call_raises(serve):
    grpc, _ = serve()
    before = time.monotonic()
    assert "the request's deadline passed" in ask(grpc, "limited")["error"]
    assert time.monotonic() - before < 10
    assert what_was_seen(grpc).startswith("DeadlineExceededError: Run failed: ")


def test_the_servers_maximum_holds_for_every_pipeline(serve):
    grpc, _ = serve(0.3)
    assert "the request's deadline passed" in ask(grpc, "endless")["error"]


def test_a_rest_client_gives_its_timeout_in_a_header(serve):
    grpc, rest = serve()
    with post(rest, "endless", {"X-Request-Timeout-Ms": "300"}).getresponse() as response:
        assert response.status == 504
        assert "the request's deadline passed" in json.load(response)["error_msg"]
    assert what_was_seen(grpc).startswith("DeadlineExceededError: ")


def test_a_client_that_leaves_cancels(serve):
    grpc, rest = serve()
    connection = post(rest, "endless")
    assert ask(grpc, "has_started")[0]["started"]
    connection.close()
    assert what_was_seen(grpc) == "CancelledError: Run failed: the client has left"


def test_more_bytes_than_the_limit_are_refused_at_once(serve):
    _, rest = serve()
    with post(rest, "limited", value=np.ones((1, 1001), np.float32)).getresponse() as response:
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 1
        assert "enqueued bytes exceed the limit 4000" in json.load(response)["error_msg"]
