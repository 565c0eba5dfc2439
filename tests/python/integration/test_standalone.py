"""Servables whose graphs run in the server's process, called through every door."""

import json
import re
import urllib.request

import numpy as np
import pytest

from pipeserve_native import Model, export
from pipeserve_native.client import Client

CONFIG = """
import threading

import numpy as np
from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable(["add.mindir", "sub.mindir"], "MindIR", with_batch_dim=False)


def twice(x):
    return x + x


def pairs(instances):
    for a, b in instances:
        yield a + 1, b


@register.register_method(output_names=["y"])
def add(a, b):
    y = register.call_servable(a, b, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def twice_sub(a, b):
    a = register.call_preprocess(twice, a)
    y = register.call_servable(a, b, subgraph=1)
    return y


@register.register_method(output_names=["y", "a"])
def generated(a, b):
    a1, b1 = register.call_preprocess_pipeline(pairs, a, b)
    y = register.call_servable(a1, b1, subgraph=0)
    return y, a1
"""

PIPELINES = """

add_servable = PipelineServable("calculator", "add")
sub_servable = PipelineServable("calculator", "twice_sub")
generated_servable = PipelineServable("ignored", "generated", version_number=7)


@register.register_pipeline(output_names=["sum", "difference"])
def predict(a, b):
    return add_servable.run(a, b), sub_servable.run(a, b)


@register.register_pipeline(output_names=["y", "a"])
def generate(a, b):
    return generated_servable.run(a, b)


@register.register_pipeline(output_names=["same"])
def echo(x):
    return x


@register.register_pipeline(output_names=["kinds"])
def kinds(text, data, number):
    assert isinstance(text, str) and data.dtype == np.uint8 and number.shape == (1,)
    return f"{text} {bytes(data).decode()} {int(number[0])}"


@register.register_pipeline(output_names=["y"])
def nothing(a):
    return None


@register.register_pipeline(output_names=["y", "z"])
def too_few(a):
    return [a]


@register.register_pipeline(output_names=["y"])
def ragged(a):
    return [[1, [2]]]


@register.register_pipeline(output_names=["y"])
def raising(a):
    raise KeyError("lost")


@register.register_pipeline(output_names=["y"])
def scattered(a):
    return a.T


@register.register_pipeline(output_names=["y"])
def wrong_call(a):
    return add_servable.run(a)


@register.register_pipeline(output_names=["y"])
def unknown_method(a):
    return PipelineServable.run(missing, a)


missing = PipelineServable("calculator", "predict")


@register.register_pipeline(output_names=["y"])
def identity_of_arrays(a):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    y, seen = generated_servable.run(array, array)
    assert y.flags.writeable and not (y is array)
    return y


@register.register_pipeline(output_names=["y"])
def threads(a):
    results = [None] * 4
    def work(i):
        results[i] = add_servable.run(a, a)
    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results[0] + results[3]
"""

SERVER = """
import os, sys
from pipeserve_native import server

here = os.path.dirname(os.path.realpath(__file__))
workers = int(os.environ.get("WORKERS", "0"))
configs = [
    server.ServableStartConfig(here, name, device_ids=0, workers=workers) for name in sys.argv[1:]
]
server.start_servables(configs)
server.start_grpc_server("127.0.0.1:0")
server.start_restful_server("127.0.0.1:0")
"""

SHAPE = (2, 3)


def write_servable(directory, name, config, version=1):
    folder = directory / name / str(version)
    for kind in ("add", "sub"):
        graph = export.Graph(kind)
        a, b = (graph.input(n, SHAPE, np.float32) for n in "ab")
        graph.output(getattr(graph, kind)(a, b))
        graph.save(folder / f"{kind}.mindir")
    (directory / name / "servable_config.py").write_text(config)


class Server:
    def __init__(self, program):
        self.program = program
        self.grpc = program.wait_for(r"gRPC server start success, listening on (\S+)")[1]
        self.rest = program.wait_for(r"RESTful server start success, listening on (\S+)")[1]

    def infer(self, method, instances, servable="calculator", version=0):
        return Client(self.grpc, servable, method, version).infer(instances)

    def post(self, path, body):
        request = urllib.request.Request(
            f"http://{self.rest}{path}", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)


@pytest.fixture(params=[0, 2], ids=["in-process", "workers"])
def server(tmp_path, start_script, monkeypatch, request):
    monkeypatch.setenv("WORKERS", str(request.param))
    write_servable(tmp_path, "calculator", CONFIG + PIPELINES)
    write_servable(tmp_path, "methods", CONFIG, version=3)
    return Server(start_script("serve.py", SERVER, "calculator", "methods"))


A = np.arange(6, dtype=np.float32).reshape(SHAPE)
B = np.full(SHAPE, 2, np.float32)


def test_model_runs_a_file(tmp_path):
    write_servable(tmp_path, "calculator", CONFIG)
    model = Model(tmp_path / "calculator/1/sub.mindir")
    assert [info.shape for info in model.inputs] == [SHAPE, SHAPE]
    (y,) = model.run(A, B)
    np.testing.assert_array_equal(y, A - B)


def test_pipelines(server):
    (reply,) = server.infer("predict", {"a": A, "b": B})
    np.testing.assert_array_equal(reply["sum"], A + B)
    np.testing.assert_array_equal(reply["difference"], A + A - B)
    assert reply["sum"].shape == SHAPE and not reply["sum"].flags.writeable


def test_instances_are_independent(server):
    replies = server.infer("predict", [{"a": A, "b": B}, {"a": A[0], "b": B}, {"a": B, "b": B}])
    np.testing.assert_array_equal(replies[0]["sum"], A + B)
    assert "Pipeline Failed" in replies[1]["error"]
    np.testing.assert_array_equal(replies[2]["sum"], B + B)


def test_a_generator_preprocess(server):
    (reply,) = server.infer("generate", {"a": A, "b": B})
    np.testing.assert_array_equal(reply["y"], A + 1 + B)
    np.testing.assert_array_equal(reply["a"], A + 1)


def test_values_of_every_kind_come_back(server):
    for dtype in ("int8", "uint16", "int64", "float16", "float64", "bool"):
        value = np.ones((2, 1), dtype)
        (reply,) = server.infer("echo", {"x": value})
        assert reply["same"].dtype == value.dtype
        np.testing.assert_array_equal(reply["same"], value)
    assert server.infer("echo", {"x": "text"}) == [{"same": "text"}]
    (reply,) = server.infer("echo", {"x": 5})
    assert reply["same"].shape == (1,) and reply["same"].dtype == np.int64
    (reply,) = server.infer("echo", {"x": np.empty((3, 0), np.float32)})
    assert reply["same"].shape == (3, 0)
    (reply,) = server.infer("kinds", {"text": "é", "data": b"raw", "number": 7})
    assert reply["kinds"] == "é raw 7"


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("nothing", "nothing returned None, expected 1 value"),
        ("too_few", "too_few returned 1 value, expected 2"),
        ("ragged", "Get illegal result data with type <class 'list'>"),
        ("raising", "KeyError: 'lost'"),
        ("scattered", "the array is not C-contiguous"),
        ("wrong_call", "Input count 1 does not equal to input count 2 defined in method add"),
        ("unknown_method", "Not support method predict"),
    ],
)
def test_a_failing_pipeline_answers_with_its_reason(server, method, reason):
    reply = server.infer(method, {"a": A})
    assert re.match("Pipeline Failed", reply["error"])
    assert reason in reply["error"]


def test_arrays_and_threads_inside_a_pipeline(server):
    (reply,) = server.infer("identity_of_arrays", {"a": A})
    np.testing.assert_array_equal(reply["y"], A + 1 + A)
    (reply,) = server.infer("threads", {"a": A})
    np.testing.assert_array_equal(reply["y"], 4 * A)


def test_a_pipeline_hides_methods(server):
    assert "method is not available" in server.infer("add", {"a": A, "b": B})["error"]
    (reply,) = server.infer("add", {"a": A, "b": B}, servable="methods")
    np.testing.assert_array_equal(reply["y"], A + B)


def test_versions(server):
    (reply,) = server.infer("add", {"a": A, "b": B}, servable="methods", version=3)
    np.testing.assert_array_equal(reply["y"], A + B)
    reply = server.infer("add", {"a": A, "b": B}, servable="methods", version=1)
    assert "servable is not available" in reply["error"]


def test_bad_requests(server):
    assert "Cannot find input b" in server.infer("predict", {"a": A})["error"]
    assert "servable is not available" in server.infer("predict", {}, servable="no")["error"]
    reply = server.infer("add", {"a": A, "b": B.astype(np.int32)}, servable="methods")
    assert "data type" in reply["error"]
    client = Client(server.grpc, "calculator", "predict")
    with pytest.raises(RuntimeError, match="instance should be a map"):
        client.infer(3)
    with pytest.raises(RuntimeError, match="Not support value type <class 'set'>"):
        client.infer({"a": {1}})
    with pytest.raises(RuntimeError, match="Unknown data type object"):
        client.infer({"a": np.array([[1], None], dtype=object)})


def test_an_unreachable_server(free_port):
    client = Client(f"127.0.0.1:{free_port()}", "calculator", "predict")
    assert client.infer({"a": A})["error"].startswith("Grpc Error, (14, 'unavailable'), ")
    with pytest.raises(RuntimeError):
        client.infer_async({"a": A}).result()


def test_many_calls_at_once(server):
    client = Client(server.grpc, "calculator", "predict")
    futures = [client.infer_async({"a": A * i, "b": B}) for i in range(50)]
    for i, future in enumerate(futures):
        np.testing.assert_array_equal(future.result()[0]["sum"], A * i + B)


def test_rest(server):
    body = {"instances": {"a": A.tolist(), "b": B.tolist()}}
    reply = server.post("/model/calculator:predict", body)
    assert reply == {"instances": [{"sum": (A + B).tolist(), "difference": (A + A - B).tolist()}]}
    reply = server.post("/model/methods/version/3:add", body)
    assert reply == {"instances": [{"y": (A + B).tolist()}]}
    assert "error_msg" in server.post("/model/calculator:no_such_method", body)


def test_sigterm_ends_the_server_with_success(server):
    assert server.program.terminate() == 0


SIGTERM_ON_ANOTHER_THREAD = """
import signal
import threading


def run():
    main = threading.main_thread()
    main.join()
    while ") S " not in open(f"/proc/self/task/{main.native_id}/stat").read():
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


threading.Thread(target=run, daemon=True).start()
"""


def test_sigterm_does_not_depend_on_the_main_thread(tmp_path, start_script):
    """It waits for threads at the interpreter's end, and may miss the signal just before."""
    write_servable(tmp_path, "calculator", CONFIG)
    program = start_script("serve.py", SERVER + SIGTERM_ON_ANOTHER_THREAD, "calculator")
    assert program.wait() == 0


def test_a_script_that_stops_the_server_ends(tmp_path, start_script):
    write_servable(tmp_path, "calculator", CONFIG)
    program = start_script("serve.py", SERVER + "\nserver.stop()\nserver.stop()\n", "calculator")
    assert program.wait() == 0, program.output


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("register.no_such_name()", "import calculator.servable_config failed, module"),
        ("def f(", "import calculator.servable_config failed, "),
        ("raise ValueError", "import calculator.servable_config failed, ValueError"),
        ("register.declare_servable('x', 'MindIR')", "has already been declared as: "),
    ],
)
def test_a_broken_config(tmp_path, start_script, change, text):
    write_servable(tmp_path, "calculator", CONFIG + change + "\n")
    program = start_script("serve.py", SERVER, "calculator")
    assert program.wait() == 1
    assert text in program.output


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("subgraph=1", "subgraph=2", "Total Load Graph number is 2, Method twice_sub subgrah is 2"),
        ('"sub.mindir"', '"none.mindir"', "none.mindir"),
    ],
)
def test_a_config_that_does_not_fit_the_model(tmp_path, start_script, old, new, text):
    write_servable(tmp_path, "calculator", CONFIG.replace(old, new))
    program = start_script("serve.py", SERVER, "calculator")
    assert program.wait() == 1
    assert text in program.output


def test_missing_places(tmp_path, start_script):
    program = start_script("serve.py", SERVER, "calculator")
    assert program.wait() == 1
    assert "Check servable config failed, directory" in program.output
    (tmp_path / "calculator").mkdir()
    program = start_script("serve.py", SERVER, "calculator")
    assert program.wait() == 1
    assert "Check servable config failed, file" in program.output
    (tmp_path / "calculator" / "servable_config.py").write_text(CONFIG)
    program = start_script("serve.py", SERVER, "calculator")
    assert program.wait() == 1
    assert "There is no valid version of servable" in program.output
    assert "model files of version 1 should be in" in program.output
