"""Pipeline functions in worker processes: what they may do without harm to the server."""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import sys
import threading
import time

import numpy as np
import pytest

from pipeserve_native import export
from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")

CONFIG = """
import ctypes
import logging
import os
import pathlib
import signal
import threading
import time

import numpy as np
from pipeserve_native import DeadlineExceededError
from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

{declaration}
folder = pathlib.Path(__file__).parent


def say(what):
    with (folder / "said").open("a") as file:  # One write, at the end of the file.
        file.write(what + "\\n")


@register.register_method(output_names=["y"])
def add(a, b):
    y = register.call_servable(a, b)
    return y


adder = PipelineServable("work", "add")


@register.register_pipeline(output_names=["y", "pid"])
def double(a):
    return adder.run(a, a), os.getpid()


@register.register_pipeline(output_names=["y"])
def slow_double(a):
    time.sleep(0.02)
    return adder.run(a, a)


@register.register_pipeline(output_names=["y"], replayable=False)
def once(a):
    say(str(int(a[0])))
    time.sleep(0.02)
    return adder.run(a, a)


@register.register_pipeline(output_names=["y"])
def aborts(a):
    adder.run(a, a)
    os.abort()


@register.register_pipeline(output_names=["y"], replayable=False)
def leaves(a):
    say("leaves")
    os._exit(7)


@register.register_pipeline(output_names=["y"])
def holds_the_interpreter(a):
    say("holds")
    ctypes.PyDLL(None).sleep(5)  # Unlike CDLL it keeps the GIL.
    return adder.run(a, a)


@register.register_pipeline(output_names=["y"])
def fans_out(a):
    futures = [adder.submit(a * i, a) for i in range(20)]
    return sum(future.result() for future in futures)


@register.register_pipeline(output_names=["y"], timeout=0.3)
def too_long(a):
    try:
        while True:
            adder.run(a, a)
            time.sleep(0.01)
    except DeadlineExceededError as error:
        say("gave up: " + str(error))
        raise


@register.register_pipeline(output_names=["y"], timeout=0.3)
def never(a):
    threading.Event().wait()


@register.register_pipeline(output_names=["y"])
def gate(a):
    say("at the gate")
    while not (folder / "open").exists():
        time.sleep(0.01)
    return adder.run(a, a)


@register.register_pipeline(output_names=["y"])
def logs(a):
    logging.getLogger("of.user").warning("a warning of %d", 17)
    print("printed in a worker")
    raise KeyError("lost")


@register.register_pipeline(output_names=["y"])
def writes_anywhere(a):
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.readlink("/proc/self/fd/" + str(fd)).startswith(("pipe:", "socket:")) and fd > 2:
                os.write(fd, b"nonsense" * 100 + b"\\n")
        except OSError:  # It has been closed meanwhile, or is one to read from.
            pass
    return a


@register.register_pipeline(output_names=["bytes"])
def large(a):
    return np.zeros((8 << 20,), np.uint8)
"""

LOCAL = 'register.declare_servable("add.mindir", "MindIR", with_batch_dim=False)'
LOCAL_CONFIG = CONFIG.format(declaration=LOCAL)
AGENTS = "distributed.declare_servable(rank_size=2, stage_size=1, with_batch_dim=False)"


def said(folder):
    path = folder / "work" / "said"
    return path.read_text().splitlines() if path.exists() else []


def wait_until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def is_alive(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def command_line(pid):
    """Empty once the process has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Served:
    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.address = program.wait_for(r"gRPC server start success, listening on (\S+)")[1]

    def ask(self, method, value=1.0):
        reply = Client(self.address, "work", method).infer({"a": np.full(4, value, np.float32)})
        return reply if "error" in reply else reply[0]

    def error(self, method, value=1.0):
        reply = self.ask(method, value)
        assert "error" in reply, reply
        return reply["error"]

    def pids(self):
        """Of the workers that run, as they answer: there may be more."""
        return {int(self.ask("double")["pid"][()]) for _ in range(10)}

    def restarts(self, by):
        return len(re.findall(f"was killed by {by}, starting it again", self.program.output))

    def worker_pids(self):
        """Of all workers that run."""
        children = pathlib.Path(f"/proc/{self.program.process.pid}/task").glob("*/children")
        pids = [int(pid) for path in children for pid in path.read_text().split()]
        return [pid for pid in pids if b"pipeserve_native._worker" in command_line(pid)]


def add_graph():
    graph = export.Graph("add")
    a, b = (graph.input(name, (4,), np.float32) for name in "ab")
    graph.output(graph.add(a, b))
    return graph


@pytest.fixture
def serve(tmp_path, start):
    def run(*options, config=LOCAL_CONFIG):
        (tmp_path / "work" / "1").mkdir(parents=True)
        (tmp_path / "work" / "servable_config.py").write_text(config)
        add_graph().save(tmp_path / "work" / "1" / "add.mindir")
        doors = ["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""]
        return start(PIPESERVE, "serve", tmp_path / "work", *doors, *options)

    return run


@pytest.fixture
def served(serve, tmp_path):
    """With two workers."""
    return Served(serve("--workers", "2", "--worker-grace", "0.5"), tmp_path)


def test_functions_run_in_other_processes(served):
    pids = served.pids()
    assert len(pids) == 2 and served.program.process.pid not in pids
    assert pids == set(served.worker_pids())
    np.testing.assert_array_equal(served.ask("double", 3.0)["y"], np.full(4, 6.0))
    np.testing.assert_array_equal(served.ask("fans_out")["y"], np.full(4, 190.0 + 20))
    assert served.ask("large")["bytes"].shape == (8 << 20,)


def test_a_function_that_aborts_costs_its_request_alone(served):
    before = served.pids()
    error = served.error("aborts")
    assert (
        "Pipeline Failed: aborts was lost with its worker process, which was killed by SIGABRT"
        in (error)
    )
    assert error.endswith("as 2 before")
    np.testing.assert_array_equal(served.ask("double", 3.0)["y"], np.full(4, 6.0))
    wait_until(lambda: len(served.worker_pids()) == 2, "the workers have not come back")
    wait_until(lambda: served.restarts("SIGABRT") == 3, "an end was not seen")
    assert not before & served.pids()


def test_a_function_that_must_not_run_twice_does_not(served):
    error = served.error("leaves")
    assert "leaves was lost with its worker process, which ended with exit code 7" in error
    assert "before" not in error
    assert said(served.folder) == ["leaves"]


def test_a_function_that_writes_to_all_descriptors_costs_its_request_alone(served):
    assert "writes_anywhere was lost with its worker process, which was" in served.error(
        "writes_anywhere"
    )
    np.testing.assert_array_equal(served.ask("double", 3.0)["y"], np.full(4, 6.0))
    wait_until(lambda: served.restarts("SIGKILL") == 3, "an end was not seen")


def test_others_are_answered_while_a_function_holds_its_interpreter(served):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(served.ask, "holds_the_interpreter")
        wait_until(lambda: said(served.folder) == ["holds"], "it did not begin")
        answers = 0
        begin = time.monotonic()
        while not held.done():
            np.testing.assert_array_equal(served.ask("double", 3.0)["y"], np.full(4, 6.0))
            answers += 1
        assert time.monotonic() - begin > 3  # It did hold it.
        assert answers > 100
        np.testing.assert_array_equal(held.result()["y"], np.full(4, 2.0))


KILLS = 4


def under_kills(served, ask):
    """Four threads call ``ask``, each with other numbers, until workers have been killed.

    Each kill comes after some answers.
    """
    stop = threading.Event()
    answered = []

    def ask_on(first):
        asked = 0
        while not stop.is_set():
            ask(first + asked)
            answered.append(first + asked)
            asked += 1
        return asked

    def kill():
        try:
            for kill in range(KILLS):
                enough = 6 * (kill + 1)
                wait_until(lambda enough=enough: len(answered) >= enough, "too few answers")
                wait_until(lambda: len(served.worker_pids()) == 2, "a worker has not come back")
                served.ask("double")  # One of them works.
                victim = served.worker_pids()[0]
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda gone=victim: not is_alive(gone), "a kill had no effect")
        finally:
            stop.set()

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(ask_on, 100_000 * i) for i in range(4)]
        pool.submit(kill).result()
        return sum(each.result() for each in asked)


def test_kills_under_load_lose_nothing(served):
    """Each answer is the one of its request, whatever happened to the worker."""

    def ask(value):
        reply = served.ask("slow_double", value)
        np.testing.assert_array_equal(reply["y"], np.full(4, 2.0 * value))

    assert under_kills(served, ask) > 20
    wait_until(lambda: served.restarts("SIGKILL") == KILLS, "a kill was not seen")


def test_kills_under_load_repeat_nothing_that_must_not_be(served):
    outcomes = collections.Counter()

    def ask(value):
        reply = served.ask("once", value)
        if "error" in reply:
            assert "once was lost with its worker process" in reply["error"]
        else:
            np.testing.assert_array_equal(reply["y"], np.full(4, 2.0 * value))
        outcomes["error" in reply] += 1

    asked = under_kills(served, ask)
    runs = collections.Counter(said(served.folder))
    assert set(runs.values()) == {1}, runs.most_common(3)
    assert outcomes.total() == asked and outcomes[True] <= KILLS
    assert outcomes[False] <= len(runs) <= asked


def test_a_function_notices_the_deadline_and_its_worker_goes_on(served):
    before = served.pids()
    assert "the request's deadline passed before it was done" in served.error("too_long")
    wait_until(lambda: said(served.folder), "it did not notice")
    assert said(served.folder) == [
        "gave up: Run failed: the request's deadline passed before it was done"
    ]
    assert served.pids() == before


def test_a_worker_that_does_not_come_back_is_replaced(served):
    before = served.pids()
    for _ in range(2):
        assert "the request's deadline passed" in served.error("never")
    np.testing.assert_array_equal(served.ask("double", 3.0)["y"], np.full(4, 6.0))
    wait_until(lambda: len(served.worker_pids()) == 2, "the workers have not come back")
    wait_until(lambda: not before & set(served.worker_pids()), "a worker was not killed")
    assert "it goes on though its request was given up" in served.program.output
    assert not before & served.pids()


def test_sigterm_ends_requests_first_and_leaves_no_process(served):
    pids = served.worker_pids()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.ask, "gate")
        wait_until(lambda: said(served.folder) == ["at the gate"], "it did not begin")
        # As a terminal or a service does it: all processes at once.
        for pid in [*pids, served.program.process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert not answer.done()
        (served.folder / "work" / "open").touch()
        np.testing.assert_array_equal(answer.result()["y"], np.full(4, 2.0))
    assert served.program.wait() == 0, served.program.output
    assert not any(is_alive(pid) for pid in pids)
    assert "starting it again" not in served.program.output


def test_workers_end_with_the_front_however_it_ends(served):
    pids = served.worker_pids()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        lost = pool.submit(served.ask, "gate")
        wait_until(lambda: said(served.folder) == ["at the gate"], "it did not begin")
        served.program.process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "a worker lives on")
        assert "error" in lost.result()


def test_what_workers_print_and_log_comes_through(served):
    assert served.error("logs") == "Pipeline Failed: KeyError: 'lost'"
    served.program.wait_for("(?m)^printed in a worker$")
    served.program.wait_for("a warning of 17")
    served.program.wait_for("logs failed\n(.*\n)*Traceback(.*\n)*KeyError: 'lost'")


def test_a_config_that_works_in_the_front_alone_is_told_at_the_start(serve):
    broken = "import sys\nassert 'pipeserve_native._worker' not in sys.orig_argv, 'not here'\n"
    program = serve("--workers", "2", config=LOCAL_CONFIG + broken)
    assert program.wait() == 1
    assert (
        "Fail to start workers: a worker process of servable work did not start: " in program.output
    )
    assert "import work.servable_config failed, not here" in program.output


def test_workers_call_graphs_of_agents(tmp_path, start, free_port):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "servable_config.py").write_text(CONFIG.format(declaration=AGENTS))
    devices = [{"device_id": str(i), "rank_id": str(i)} for i in range(2)]
    table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
    (tmp_path / "table.json").write_text(json.dumps(table))
    export.save_sharded([add_graph()], tmp_path / "model", ranks=2)
    server = start(
        *[PIPESERVE, "serve", tmp_path / "work", "--rank-table", tmp_path / "table.json"],
        *["--distributed-address", "127.0.0.1:0", "--workers", "2"],
        *["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""],
    )
    door = server.wait_for(r"agents to register at (\S+)")[1]
    models = ["--models", tmp_path / "model", "--start-port", free_port(2)]
    agents = start(PIPESERVE, "agent", door, *models)
    served = Served(server, tmp_path)
    np.testing.assert_array_equal(served.ask("double", 3.0)["y"], np.full(4, 6.0))
    np.testing.assert_array_equal(served.ask("fans_out")["y"], np.full(4, 210.0))
    # Agents are lost and come back under a function that notices nothing.
    for pid in served.worker_pids()[:1]:
        os.kill(pid, signal.SIGKILL)
    np.testing.assert_array_equal(served.ask("double", 4.0)["y"], np.full(4, 8.0))
    assert server.terminate() == 0, server.output
    agents.wait()
