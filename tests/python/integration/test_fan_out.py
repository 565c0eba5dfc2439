"""Calls that a pipeline function submits instead of waiting for them."""

import numpy as np
import pytest

from pipeserve_native import export
from pipeserve_native.client import Client

CONFIG = """
import threading

import numpy as np
from pipeserve_native import CancelledError, InvalidArgumentError
from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable("add.mindir", "MindIR", with_batch_dim=False)
started = threading.Event()
opened = threading.Event()
raised = threading.Event()
kept = []


def wait(a):
    started.set()
    opened.wait(20)
    return a


def fail(a):
    raise KeyError("lost")


@register.register_method(output_names=["y"])
def twice(a):
    y = register.call_servable(a, a)
    return y


@register.register_method(output_names=["y"])
def slow(a):
    a = register.call_preprocess(wait, a)
    y = register.call_servable(a, a)
    return y


@register.register_method(output_names=["y"])
def failing(a):
    a = register.call_preprocess(fail, a)
    y = register.call_servable(a, a)
    return y


twice_servable = PipelineServable("fan", "twice")
slow_servable = PipelineServable("fan", "slow")
failing_servable = PipelineServable("fan", "failing")


@register.register_pipeline(output_names=["y"])
def many(a):
    futures = [twice_servable.submit(a * i) for i in range(100)]
    for i, future in enumerate(futures):
        assert (future.result() == twice_servable.run(a * i)).all()
        assert future.done() and not future.running() and future.exception() is None
        assert (future.result(timeout=0) == future.result()).all()
    return sum(future.result() for future in futures)


@register.register_pipeline(output_names=["text"])
def errors(a):
    seen = []
    for call in (
        lambda: failing_servable.submit(a).result(),
        lambda: twice_servable.submit(a[:1]).result(),
        lambda: twice_servable.submit([]),
        lambda: PipelineServable.submit(missing, a),
        lambda: twice_servable.submit(a).result(timeout=-1),
        lambda: twice_servable.submit(a).result(timeout=float("nan")),
        lambda: twice_servable.submit(a).result(timeout=True),
    ):
        try:
            call()
            seen.append("none")
        except Exception as error:
            seen.append(type(error).__name__)
    assert "lost" in str(failing_servable.submit(a).exception())
    return " ".join(seen)


missing = PipelineServable("fan", "nowhere")


@register.register_pipeline(output_names=["text"])
def waits(a):
    started.clear()
    opened.clear()
    future = slow_servable.submit(a)
    try:
        future.result(timeout=0.01)
    except TimeoutError as error:
        text = type(error).__name__
    assert started.wait(20) and future.running()
    assert not future.cancel() and not future.done()
    opened.set()
    assert (future.result() == a + a).all()
    return text


@register.register_pipeline(output_names=["text"])
def leaves_calls(a):
    opened.clear()
    kept[:] = [slow_servable.submit(a) for _ in range(200)]
    threading.Thread(target=open_when_taken_back, args=(kept[-1],)).start()
    return "left"


def open_when_taken_back(call):
    call.exception(timeout=20)
    opened.set()


@register.register_pipeline(output_names=["text"])
def what_was_left(a):
    assert all(future.done() for future in kept)
    errors = [future.exception() for future in kept]
    assert any(isinstance(error, CancelledError) for error in errors)
    return "all done"


@register.register_pipeline(output_names=["text"], timeout=0.3)
def too_late(a):
    opened.clear()
    future = slow_servable.submit(a)
    try:
        future.result()
    except Exception as error:
        kept[:] = [type(error).__name__]
        raised.set()
        raise
    finally:
        opened.set()


@register.register_pipeline(output_names=["text"])
def what_was_raised(a):
    assert raised.wait(20)
    return kept[0]
"""

SERVER = """
import os
from pipeserve_native import server

here = os.path.dirname(os.path.realpath(__file__))
server.start_servables(server.ServableStartConfig(here, "fan", device_ids=0, max_inflight=2))
server.start_grpc_server("127.0.0.1:0")
"""

A = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def ask(tmp_path, start_script):
    version = tmp_path / "fan" / "1"
    version.mkdir(parents=True)
    (tmp_path / "fan" / "servable_config.py").write_text(CONFIG)
    graph = export.Graph("add")
    a, b = (graph.input(name, A.shape, np.float32) for name in "ab")
    graph.output(graph.add(a, b))
    graph.save(str(version / "add.mindir"))
    program = start_script("server.py", SERVER)
    address = program.wait_for(r"gRPC server start success, listening on (\S+)")[1]

    def call(method):
        return Client(address, "fan", method).infer({"a": A})

    yield call
    assert program.terminate() == 0, program.output


def test_results_are_those_of_run(ask):
    expected = sum((A * i) + (A * i) for i in range(100))
    assert ask("many")[0]["y"].tobytes() == expected.tobytes()


def test_errors_come_with_the_result(ask):
    assert ask("errors")[0]["text"] == (
        "InternalError InvalidArgumentError InvalidArgumentError NotFoundError "
        "InvalidArgumentError InvalidArgumentError InvalidArgumentError"
    )


def test_waiting_ends_at_its_timeout(ask):
    assert ask("waits")[0]["text"] == "TimeoutError"


def test_nothing_outlives_its_request(ask):
    assert ask("leaves_calls")[0]["text"] == "left"
    assert ask("what_was_left")[0]["text"] == "all done"


def test_waiting_ends_at_the_requests_deadline(ask):
    assert "deadline passed" in ask("too_late")["error"]
    assert ask("what_was_raised")[0]["text"] == "DeadlineExceededError"
