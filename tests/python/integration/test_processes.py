"""Processes that come from one that uses the package: by fork and by spawn."""

import pytest

PREAMBLE = """
import multiprocessing
import os
import pathlib
import signal
import sys

import numpy as np

import pipeserve_native
from pipeserve_native import Model, export, server
from pipeserve_native.client import Client

CONFIG = '''
from pipeserve_native.server import register

register.declare_servable("double.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def double(x):
    y = register.call_servable(x)
    return y
'''

X = np.ones((2, 3), np.float32)


def write_model():
    graph = export.Graph("double")
    x = graph.input("x", (2, 3), np.float32)
    graph.output(graph.add(x, x))
    graph.save("doubler/1/double.mindir")
    pathlib.Path("doubler/servable_config.py").write_text(CONFIG)


def serve(door):
    server.start_servables(server.ServableStartConfig(os.getcwd(), "doubler", 0))
    server.start_grpc_server(f"unix:{door}")
    return Client(f"unix:{door}", "doubler", "double")


def ask(client):
    (reply,) = client.infer({"x": X})
    assert reply["y"].tolist() == (X + X).tolist(), reply


def forked(function):
    \"\"\"The exit code of a child that runs the function and ends like any Python program.\"\"\"
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        function()
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def passes(program, text="done"):
    assert program.wait() == 0, program.output
    assert text in program.output


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_serve_and_ask(start_script, method):
    program = start_script(
        "children.py",
        PREAMBLE
        + f"""

def child(number):
    ask(serve(f"door{{number}}"))
    server.stop()
    return number


if __name__ == "__main__":
    write_model()
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        assert pool.map(child, range(2), chunksize=1) == [0, 1]
    ask(serve("door"))
    server.stop()
    print("done")
""",
    )
    passes(program)


def test_what_a_fork_inherits_says_that_it_is_of_no_use(start_script):
    program = start_script(
        "inherited.py",
        PREAMBLE
        + """

def refused(function, *arguments):
    try:
        result = function(*arguments)
    except pipeserve_native.FailedPreconditionError as error:
        assert f"process {parent}" in str(error) and "fork" in str(error), error
    else:
        assert "forked" in str(result), result


def use_all():
    refused(client.infer, {"x": X})
    refused(client.infer_async, {"x": X})
    refused(pending.result)
    refused(model.run, X)
    refused(loaded.double, X)
    refused(Client, "unix:door", "doubler", "double")
    server.stop()
    loaded.close()
    export.Graph("of this process").input("x", (1,), np.float32)


write_model()
parent = os.getpid()
client = serve("door")
ask(client)
pending = client.infer_async({"x": X})
loaded = pipeserve_native.load("doubler")
model = Model("doubler/1/double.mindir")
assert forked(use_all) == 7
assert forked(lambda: None) == 7
assert pending.result()[0]["y"].tolist() == (X + X).tolist()
ask(client)
assert model.run(X)[0].tolist() == loaded.double(X).tolist()
server.stop()
print("done")
""",
    )
    passes(program)


def test_a_fork_can_load_for_itself(start_script):
    program = start_script(
        "loads.py",
        PREAMBLE
        + """

def load():
    with pipeserve_native.load("doubler") as loaded:
        assert loaded.double(X).tolist() == (X + X).tolist()
    assert Model("doubler/1/double.mindir").run(X)[0].tolist() == (X + X).tolist()


write_model()
client = serve("door")
ask(client)
assert forked(load) == 7
ask(client)
server.stop()
print("done")
""",
    )
    passes(program)


def test_a_signal_for_a_fork_does_not_reach_the_server_that_it_left(start_script):
    program = start_script(
        "signalled.py",
        PREAMBLE
        + """

def wait():
    os.write(ready, b"x")
    signal.pause()


write_model()
client = serve("door")
reader, ready = os.pipe()
child = multiprocessing.get_context("fork").Process(target=wait)
child.start()
os.read(reader, 1)
child.terminate()
child.join()
assert child.exitcode == -signal.SIGTERM, child.exitcode
ask(client)
server.stop()
print("done")
""",
    )
    passes(program)


def test_forks_while_requests_run_end(start_script):
    program = start_script(
        "busy.py",
        PREAMBLE
        + """
import threading


def keep_asking():
    client = Client("unix:door", "doubler", "double")
    while not stop.is_set():
        ask(client)


def allocate():
    for size in range(1, 20):
        pipeserve_native.load("doubler").close()


write_model()
client = serve("door")
stop = threading.Event()
threads = [threading.Thread(target=keep_asking) for _ in range(2)]
for thread in threads:
    thread.start()
codes = [forked(allocate) for _ in range(10)]
stop.set()
for thread in threads:
    thread.join()
server.stop()
assert codes == [7] * 10, codes
print("done")
""",
    )
    passes(program)
