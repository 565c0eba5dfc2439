"""What the package keeps for the whole process, used by many threads that begin at once."""

PROGRAM = """
import pathlib
import sys
import threading
import time

THREADS = 16
ROUNDS = 5
CONFIG = '''
import beside
from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable("double.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def double(x):
    y = register.call_servable(x)
    return y


doubled = PipelineServable("doubler", "double")


@register.register_pipeline(output_names=["y"])
def twice(x):
    calls = [doubled.submit(x) for _ in range(4)]
    kept = doubled.run(x, keep=True)
    values = [call.result() for call in calls]
    assert all((value == values[0]).all() for value in values)
    return doubled.run(kept)
'''


def write_model():
    # In a process of its own: the threads below must be the first to use anything.
    import subprocess

    script = '''
import numpy as np
from pipeserve_native import export

graph = export.Graph("double")
x = graph.input("x", (2, 3), np.float32)
graph.output(graph.add(x, x))
graph.save("doubler/1/double.mindir")
'''
    subprocess.run([sys.executable, "-c", script], check=True)
    pathlib.Path("doubler/servable_config.py").write_text(CONFIG)
    pathlib.Path("beside.py").write_text("")


def all_at_once(work):
    begin = threading.Barrier(THREADS)
    failures = []

    def run(number):
        begin.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


write_model()
sys.setswitchinterval(1e-6)
import pipeserve_native


def first_use(number):
    # Also the first use of numpy's types, of the housekeeping thread and of sys.path.
    with pipeserve_native.load("doubler") as doubler:
        import numpy as np

        x = np.full((2, 3), number, np.float32)
        for _ in range(ROUNDS):
            assert (doubler.twice(x) == 4 * x).all()
        assert pipeserve_native.Model("doubler/1/double.mindir").inputs[0].dtype == np.float32


all_at_once(first_use)

shared = pipeserve_native.load("doubler")


def same_servable(number):
    import numpy as np

    x = np.full((2, 3), number, np.float32)
    for _ in range(ROUNDS):
        assert (shared.twice(x) == 4 * x).all()


all_at_once(same_servable)
assert sum(path == str(pathlib.Path.cwd()) for path in sys.path) == 1

from pipeserve_native import server
from pipeserve_native.server._state import STATE

servers = []
all_at_once(lambda number: servers.append(STATE.server))
assert len(servers) == THREADS and len(set(map(id, servers))) == 1
del servers


def come_and_go(number):
    server.configure(max_inflight=number + 1)
    assert server.counters()["copied_bytes"] >= 0
    STATE.server
    server.stop()


all_at_once(come_and_go)
names = [thread.name for thread in threading.enumerate()]
assert names.count("pipeserve-housekeeping") == 1, names
shared.close()
print("done")
"""


def test_threads_that_come_first_find_one_state(start_script):
    program = start_script("hammer.py", PROGRAM)
    assert program.wait() == 0, program.output
    assert "done" in program.output
    assert "Traceback" not in program.output, program.output
