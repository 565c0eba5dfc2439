"""Outputs that stay where they were computed, in this process and with agents over both lanes."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from pipeserve_native import export
from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")

LOCAL = 'register.declare_servable("step.mindir", "MindIR", with_batch_dim=False)'
AGENTS = "distributed.declare_servable(rank_size=2, stage_size=1, with_batch_dim=False)"

CONFIG = """
import builtins
import threading
import sys

import numpy as np
from pipeserve_native import Error, UnavailableError
from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable, ResidentTensor

{declaration}


def double(state):
    assert isinstance(state, np.ndarray)
    return state + state


def half(y):
    return y / 2


def as_text(y):
    return "text"


@register.register_method(output_names=["state", "y"])
def step(state):
    state, y = register.call_servable(state)
    return state, y


@register.register_method(output_names=["state", "y"])
def step_of_double(state):
    state = register.call_preprocess(double, state)
    state, y = register.call_servable(state)
    y = register.call_postprocess(half, y)
    return state, y


@register.register_method(output_names=["text"])
def describe(state):
    state, y = register.call_servable(state)
    text = register.call_postprocess(as_text, y)
    return text


step_graph = PipelineServable("{name}", "step")
doubled = PipelineServable("{name}", "step_of_double")
described = PipelineServable("{name}", "describe")
leaked = []
held, released = threading.Event(), threading.Event()
if "{name}" == "other":
    builtins.step_of_other = step_graph


def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Error as error:
        return type(error).__name__ + ": " + str(error)
    return "none"


@register.register_pipeline(output_names=["seen", "state"])
def copying(x):
    seen, state = [], x
    for _ in range(50):
        state, y = step_graph.run(state.copy())
        seen.append(y.copy())
    return np.hstack(seen), state


@register.register_pipeline(output_names=["seen", "state"])
def keeping(x):
    seen, state = [], x
    for _ in range(50):
        state, y = step_graph.run(state, keep=True)
        seen.append(y.numpy())
    return np.hstack(seen), state


@register.register_pipeline(output_names=["seen", "state"])
def submitting(x):
    seen, state = [], x
    for _ in range(50):
        state, y = step_graph.submit(state, keep=True).result()
        seen.append(y.numpy())
    return np.hstack(seen), state


@register.register_pipeline(output_names=["text"])
def looks(x):
    state, y = step_graph.run(x, keep=True)
    assert isinstance(state, ResidentTensor)
    assert state.shape == (64, 64) and state.dtype == np.float32 and y.shape == (64, 1)
    assert repr(y) == "<ResidentTensor float32[64,1] (output 1 of {name}.step)>"
    array = state.numpy()
    assert not array.flags.writeable and array.shape == state.shape
    assert array.tobytes() == step_graph.run(x)[0].tobytes()
    assert array.ctypes.data == state.numpy().ctypes.data
    arrays = step_graph.run(state)
    assert all(isinstance(value, np.ndarray) for value in arrays)
    return "fine"


@register.register_pipeline(output_names=["text"])
def other_forms(x):
    state, _ = step_graph.run(x, keep=True)
    pairs = step_graph.run([x, state, state.numpy()], keep=True)
    assert [type(pair) for pair in pairs] == [tuple] * 3
    values = [[value.numpy().tobytes() for value in pair] for pair in pairs]
    assert values[1] == values[2] != values[0]
    assert values[0] == [value.tobytes() for value in step_graph.run(x)]
    next_state, y = doubled.run(state, keep=True)
    expected = doubled.run(state.numpy().copy())
    assert next_state.numpy().tobytes() == expected[0].tobytes()
    assert y.numpy().tobytes() == expected[1].tobytes()
    text = described.run(state, keep=True)
    assert text.numpy() == "text" and text.dtype.kind == "U" and text.shape == ()
    return text


@register.register_pipeline(output_names=["text"])
def refusals(x):
    seen = [
        error_of(step_graph.run, x, keep=1),
        error_of(step_graph.submit, x, keep=None),
        error_of(step_graph.run, x[:1], keep=True),
        error_of(lambda: step_graph.submit(x[:1], keep=True).result()),
    ]
    thread = threading.Thread(target=lambda: seen.append(error_of(step_graph.run, x, keep=True)))
    thread.start()
    thread.join()
    return "\\n".join(seen)


@register.register_pipeline(output_names=["text"])
def leaks(x):
    leaked[:] = [step_graph.run(x, keep=True)[0], step_graph.submit(x, keep=True)]
    leaked[1].result()
    return "left"


@register.register_pipeline(output_names=["text"])
def finds(x):
    state = leaked[0]
    assert state.shape == (64, 64) and repr(state)
    return "\\n".join(
        [error_of(state.numpy), error_of(step_graph.run, state), error_of(step_graph.submit, state),
         error_of(leaked[1].result()[0].numpy)]
    )


@register.register_pipeline(output_names=["state"])
def returns_what_was_left(x):
    return leaked[0]


@register.register_pipeline(output_names=["text"])
def holds(x):
    leaked[:] = [step_graph.run(x, keep=True)[0]]
    held.set()
    assert released.wait(60)
    return "held"


@register.register_pipeline(output_names=["text"])
def intrudes(x):
    assert held.wait(60)
    text = error_of(step_graph.run, leaked[0])
    released.set()
    return text


@register.register_pipeline(output_names=["text"])
def gives_away(x):
    state, _ = step_graph.run(x, keep=True)
    return error_of(builtins.step_of_other.run, state)


@register.register_pipeline(output_names=["same"])
def outlives_its_epoch(x):
    state, _ = step_graph.run(x, keep=True)
    before = state.numpy().copy()
    expected, _ = step_graph.run(state)
    print("kept", flush=True)
    sys.stdin.readline()  # The agents that computed it are gone when there is one.
    after, _ = step_graph.run(state, keep=True)
    return bool(np.all(state.numpy() == before) and np.all(after.numpy() == expected))
"""

SERVER = """
import os, sys
from pipeserve_native import server

here = os.path.dirname(os.path.realpath(__file__))
workers = int(sys.argv[1])
server.start_servables(
    [
        server.ServableStartConfig(here, name, device_ids=0, workers=workers)
        for name in ("lm", "other")
    ]
)
server.start_grpc_server("127.0.0.1:0")
"""

X = np.random.default_rng(3).standard_normal((64, 64), np.float32)


def step_graph():
    """state -> the next state, and a product that tells of it."""
    rng = np.random.default_rng(7)
    graph = export.Graph("step")
    state = graph.input("state", (64, 64), np.float32)
    weight = rng.standard_normal((64, 64), np.float32) / np.float32(5.6)
    state = graph.relu(graph.matmul(state, graph.parameter("weight", weight)))
    reader = graph.parameter("reader", rng.standard_normal((64, 1), np.float32))
    graph.output(state, graph.matmul(state, reader, strategy=((1, 2), (2, 1))))
    return graph


class Served:
    def __init__(self, server):
        self.server = server
        self.address = server.wait_for(r"gRPC server start success, listening on (\S+)")[1]
        self.start_agents = None

    def ask(self, method):
        reply = Client(self.address, "lm", method).infer({"x": X})
        return reply if "error" in reply else reply[0]

    def text(self, method):
        reply = self.ask(method)
        assert "text" in reply, reply
        return reply["text"]


@pytest.fixture
def local(tmp_path, start_script, request):
    """With as many worker processes as the parameter says."""
    for name in ("lm", "other"):
        (tmp_path / name / "1").mkdir(parents=True)
        config = CONFIG.format(declaration=LOCAL, name=name)
        (tmp_path / name / "servable_config.py").write_text(config)
        step_graph().save(tmp_path / name / "1" / "step.mindir")
    served = Served(start_script("server.py", SERVER, getattr(request, "param", 0)))
    yield served
    assert served.server.terminate() == 0, served.server.output


@pytest.fixture
def serve_agents(tmp_path, start, free_port):
    def serve(lane):
        (tmp_path / "lm").mkdir()
        config = CONFIG.format(declaration=AGENTS, name="lm")
        (tmp_path / "lm" / "servable_config.py").write_text(config)
        devices = [{"device_id": str(i), "rank_id": str(i)} for i in range(2)]
        table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
        (tmp_path / "table.json").write_text(json.dumps(table))
        export.save_sharded([step_graph()], tmp_path / "model", ranks=2)
        server = start(
            *[PIPESERVE, "serve", tmp_path / "lm", "--rank-table", tmp_path / "table.json"],
            *["--distributed-address", "127.0.0.1:0", "--lane", lane],
            *["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""],
        )
        door = server.wait_for(r"agents to register at (\S+)")[1]

        def start_agents():
            models = ["--models", tmp_path / "model"]
            return start(PIPESERVE, "agent", door, *models, "--start-port", free_port(2))

        agents = start_agents()
        served = Served(server)
        served.start_agents = start_agents
        served.agents = agents
        return served

    return serve


in_process_and_in_a_worker = pytest.mark.parametrize(
    "local", [0, 1], ids=["in-process", "worker"], indirect=True
)


def assert_same_bits(served):
    copied = served.ask("copying")
    assert copied["seen"].shape == (64, 50) and copied["state"].any()
    for method in ("keeping", "submitting"):
        kept = served.ask(method)
        for name, value in copied.items():
            assert value.tobytes() == kept[name].tobytes(), (method, name)


@in_process_and_in_a_worker
def test_fifty_turns_give_the_bits_of_copies(local):
    assert_same_bits(local)


@in_process_and_in_a_worker
def test_a_handle_tells_what_it_is_and_gives_a_read_only_array(local):
    assert local.text("looks") == "fine"


@in_process_and_in_a_worker
def test_lists_and_methods_with_python_functions_keep_too(local):
    assert local.text("other_forms") == "text"


def test_what_cannot_be_kept_is_refused(local):
    keep_is_int, keep_is_none, too_small, submitted, no_request = local.text("refusals").split("\n")
    assert keep_is_int.startswith("InvalidArgumentError: Parameter 'keep' should be bool")
    assert keep_is_none.startswith("InvalidArgumentError: Parameter 'keep' should be bool")
    assert "Given model input 0 size 256 not match the size 16384" in too_small
    assert submitted == too_small
    assert no_request == (
        "FailedPreconditionError: Run failed: the outputs of lm.step can be kept on a thread that "
        "works for a request, this one does not"
    )


@in_process_and_in_a_worker
def test_a_handle_ends_with_its_request(local):
    assert local.text("leaks") == "left"
    name = "float32[64,64] (output 0 of lm.step)"
    fetched, run, submitted, of_future = local.text("finds").split("\n")
    assert fetched == f"FailedPreconditionError: {name}: its request has ended"
    assert run == f"FailedPreconditionError: Run failed: {name}: its request has ended"
    assert submitted == run
    assert of_future == fetched
    assert f"{name}: its request has ended" in local.ask("returns_what_was_left")["error"]


def test_a_handle_is_of_one_request(local):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        holder = pool.submit(local.text, "holds")
        assert local.text("intrudes") == (
            "FailedPreconditionError: Run failed: float32[64,64] (output 0 of lm.step) is kept for "
            "another request than the one that uses it"
        )
        assert holder.result() == "held"


def test_a_handle_is_of_one_servable(local):
    assert local.text("gives_away") == (
        "InvalidArgumentError: Run failed: float32[64,64] (output 0 of lm.step) is kept by lm "
        "version 1, a call of other version 1 cannot take it"
    )


@pytest.mark.parametrize("lane", ["shm", "grpc"])
def test_agents_give_the_bits_of_copies(serve_agents, lane):
    served = serve_agents(lane)
    assert_same_bits(served)
    assert served.text("looks") == "fine"
    assert served.text("other_forms") == "text"
    assert served.text("leaks") == "left"
    assert "its request has ended" in served.text("finds")


@pytest.mark.parametrize("lane", ["shm", "grpc"])
def test_a_handle_outlives_the_agents_that_computed_it(serve_agents, lane):
    served = serve_agents(lane)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reply = pool.submit(served.ask, "outlives_its_epoch")
        served.server.wait_for("(?m)^kept")
        command = ["pgrep", "-P", str(served.agents.process.pid), "-x", "pipeserve-agent"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        for pid in listed.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        for rank in range(2):
            served.server.wait_for(f"agent disconnected.*rank={rank}")
        served.server.say("on")
        assert reply.result(timeout=60)["same"]
