"""Versions that replace each other under load, as an operator has it done; an end that drains."""

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest

from pipeserve_native import export
from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")

# The function knows its version, the graph adds ten times that to its input: an answer that mixes
# versions shows.
CONFIG = """
import pathlib
import time

import numpy as np
from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

VERSION = {version}
folder = pathlib.Path(__file__).parent
{declaration}


@register.register_method(output_names=["y"])
def add(a):
    y = register.call_servable(a)
    return y


adder = PipelineServable("work", "add")


@register.register_pipeline(output_names=["function", "graphs"])
def predict(a):
    graphs = []
    for _ in range(3):
        graphs.append(adder.run(a)[0])
        time.sleep(0.001)
    return np.int32(VERSION), np.array(graphs, np.float32)


@register.register_pipeline(output_names=["y"])
def gate(a):
    (folder / "arrived").touch()
    while not (folder / "open").exists():
        adder.run(a)
        time.sleep(0.005)
    return adder.run(a)


@register.register_warmup
def warm_up():
    function, graphs = predict(np.zeros(2, np.float32))
    assert set(graphs.tolist()) == {{10.0 * {warm}}}, graphs
"""
LOCAL = 'register.declare_servable("add.mindir", "MindIR", with_batch_dim=False)'
AGENTS = "distributed.declare_servable(rank_size=2, stage_size=1, with_batch_dim=False)"


def adding(number):
    graph = export.Graph("add")
    a = graph.input("a", (2,), np.float32)
    graph.output(graph.add(a, graph.parameter("b", np.full(2, number, np.float32))))
    return graph


def write_version(folder, version, declaration=LOCAL, warm=None):
    """A version directory with a config and a graph of its own."""
    directory = folder / "work" / str(version)
    directory.mkdir(parents=True, exist_ok=True)
    warm = version if warm is None else warm
    text = CONFIG.format(version=version, declaration=declaration, warm=warm)
    (directory / "servable_config.py").write_text(text)
    if declaration == LOCAL:
        adding(10 * version).save(str(directory / "add.mindir"))
    return directory


class Operated:
    """A server and the commands of its operator."""

    def __init__(self, start, folder, *options):
        self.folder = folder
        self.start = start
        doors = ["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address"]
        self.program = start(PIPESERVE, "serve", folder / "work", *doors, "127.0.0.1:0", *options)
        self.admin = self.program.wait_for(r"admin server start success, listening on (\S+)")[1]

    def await_doors(self):
        self.door = self.program.wait_for(r"gRPC server start success, listening on (\S+)")[1]
        return self

    def run(self, *arguments):
        """A command to its end."""
        return subprocess.run(
            [PIPESERVE, *arguments, "--admin-address", self.admin],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def do(self, *arguments):
        """The output of a command that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self):
        with urllib.request.urlopen(f"http://{self.admin}/v2/status", timeout=10) as answer:
            return json.load(answer)

    def states(self):
        return {each["version"]: each["state"] for each in self.status()["servables"]}

    def ask(self, version=0, method="predict"):
        client = Client(self.door, "work", method, version)
        reply = client.infer({"a": np.zeros(2, np.float32)})
        return reply if "error" in reply else reply[0]

    def kill_workers(self):
        """How many there were."""
        pid = self.program.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            children += (thread / "children").read_text().split()
        workers = {
            int(child)
            for child in children
            if b"pipeserve_native._worker" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes()
        }
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        return len(workers)

    def version(self, version=0):
        """The version that answers."""
        return int(self.ask(version)["function"])


class Load:
    """Clients that ask without a pause until the block ends; what was answered."""

    def __init__(self, operated, clients=3):
        self._operated = operated
        self._end = threading.Event()
        self.answers = collections.Counter()
        self.wrong = []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self):
        client = Client(self._operated.door, "work", "predict")
        while not self._end.is_set():
            reply = client.infer({"a": np.zeros(2, np.float32)})
            if "error" in reply:
                self.wrong.append(reply["error"])
                continue
            version = int(reply[0]["function"])
            if set(reply[0]["graphs"].tolist()) != {10.0 * version}:
                self.wrong.append(f"function {version} with graphs {reply[0]['graphs']}")
            self.answers[version] += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def await_answers(self, version, count=5):
        end = time.monotonic() + 30
        before = self.answers[version]
        while self.answers[version] < before + count:
            assert time.monotonic() < end, f"version {version} does not answer: {self.answers}"
            time.sleep(0.005)


@pytest.fixture
def operate(start, tmp_path):
    return lambda *options: Operated(start, tmp_path, *options)


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["in_process", "workers"])
def test_versions_replace_each_other_without_a_failed_request(operate, tmp_path, options):
    write_version(tmp_path, 1)
    operated = operate(*options).await_doors()
    with Load(operated) as load:
        load.await_answers(1)
        for version in (2, 3, 4):
            write_version(tmp_path, version)
            assert operated.do("load", "work") == f"work: loaded version {version}\n"
            assert operated.states() == {version: "READY"}
            load.await_answers(version)
        assert operated.do("rollback", "work") == "work: rolled back to version 3\n"
        load.await_answers(3)
        operated.do("load", "work", "--version-number", "4", "--keep-previous")
        assert operated.states() == {3: "READY", 4: "READY"}
        assert operated.version(3) == 3
        for version in (3, 4, 3, 4, 3):
            operated.do("switch", "work", str(version))
            assert operated.version() == version
            load.await_answers(version)
        operated.do("unload", "work", "4")
    assert load.wrong == []
    assert operated.states() == {3: "READY"}
    assert operated.program.terminate() == 0


def test_a_version_that_fails_changes_nothing(operate, tmp_path):
    write_version(tmp_path, 1)
    operated = operate().await_doors()
    with Load(operated) as load:
        write_version(tmp_path, 2, warm=7)
        refused = operated.run("load", "work")
        assert refused.returncode == 1
        assert "Warm-up failed" in refused.stderr
        (tmp_path / "work/2/servable_config.py").write_text("raise ValueError('not today')")
        refused = operated.run("load", "work")
        assert "not today" in refused.stderr
        write_version(tmp_path, 2)
        (tmp_path / "work/2/add.mindir").write_bytes(b"no model")
        refused = operated.run("load", "work")
        assert "add.mindir" in refused.stderr
        assert operated.states() == {1: "READY"}
        load.await_answers(1)
        write_version(tmp_path, 2)
        operated.do("load", "work")
        load.await_answers(2)
    assert load.wrong == []


def test_wrong_orders_are_refused_with_a_reason(operate, tmp_path):
    write_version(tmp_path, 1)
    write_version(tmp_path, 2)
    operated = operate("--version-number", "1").await_doors()
    for arguments, reason in [
        (("load", "work", "--version-number", "9"), "specified version number: 9"),
        (("load", "work", "--version-number", "1"), "version 1 runs already"),
        (("load", "other"), "there is no servable other in this server, there is work"),
        (("switch", "work", "2"), "servable work version 2 has not been started"),
        (("unload", "work", "2"), "servable work version 2 has not been started"),
        (("rollback", "work"), "nothing has been switched"),
        (("load", "work", "--rank-table", "t.json"), "is not declared as distributed"),
    ]:
        refused = operated.run(*arguments)
        assert refused.returncode == 1, arguments
        assert reason in refused.stderr, refused.stderr
    operated.do("load", "work", "--no-switch")
    assert operated.version() == 1
    assert operated.version(2) == 2
    refused = operated.run("unload", "work", "1")
    assert "switch to another one first" in refused.stderr
    operated.admin = "127.0.0.1:9"
    refused = operated.run("status")
    assert "no server answers at 127.0.0.1:9" in refused.stderr


def await_file(path):
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)


def ask_in_background(operated, method="gate"):
    replies = []
    thread = threading.Thread(target=lambda: replies.append(operated.ask(method=method)))
    thread.start()
    return thread, replies


def test_an_unloading_waits_for_the_requests_that_the_version_has(operate, tmp_path):
    directory = write_version(tmp_path, 1)
    operated = operate().await_doors()
    asked, replies = ask_in_background(operated)
    await_file(directory / "arrived")
    write_version(tmp_path, 2)
    loading = operated.start(PIPESERVE, "load", "work", "--admin-address", operated.admin)
    loading.wait_for("version 1: UNLOADING, 1 requests to finish")
    assert operated.version() == 2
    assert operated.states() == {1: "UNLOADING", 2: "READY"}
    (directory / "open").touch()
    asked.join()
    assert replies[0]["y"][0] == 10.0
    assert loading.wait() == 0


def test_what_is_not_done_in_time_is_given_up(operate, tmp_path):
    directory = write_version(tmp_path, 1)
    operated = operate().await_doors()
    asked, replies = ask_in_background(operated)
    await_file(directory / "arrived")
    write_version(tmp_path, 2)
    operated.do("load", "work", "--drain-seconds", "0.1")  # Its next run() raises.
    asked.join()
    assert "servable is not available: it has been stopped" in replies[0]["error"]
    assert operated.states() == {2: "READY"}


def test_sigterm_finishes_what_is_in_the_server_and_exits_with_0(operate, tmp_path):
    directory = write_version(tmp_path, 1)
    operated = operate("--max-inflight", "1").await_doors()
    running = ask_in_background(operated)
    await_file(directory / "arrived")
    waiting = [ask_in_background(operated, "predict") for _ in range(5)]
    end = time.monotonic() + 30
    while operated.status()["servables"][0]["waiting"] < 5:
        assert time.monotonic() < end
        time.sleep(0.01)
    operated.program.process.send_signal(signal.SIGTERM)
    while operated.status()["ready"]:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "servable is not available" in operated.ask()["error"]
    (directory / "open").touch()
    for asked, replies in [running, *waiting]:
        asked.join()
        assert "error" not in replies[0]
    assert operated.program.wait() == 0


def test_sigterm_gives_up_what_is_not_done_in_time_and_exits_with_0(operate, tmp_path):
    directory = write_version(tmp_path, 1)
    operated = operate("--drain-seconds", "0.2").await_doors()
    asked, replies = ask_in_background(operated)
    await_file(directory / "arrived")
    assert operated.program.terminate() == 0
    asked.join()
    assert "servable is not available: it has been stopped" in replies[0]["error"]


RANK_TABLE = {
    "version": "1.0",
    "server_count": "1",
    "status": "completed",
    "server_list": [
        {
            "server_id": "127.0.0.1",
            "host_nic_ip": "reserve",
            "device": [
                {"device_id": str(rank), "device_ip": "192.1.1.1", "rank_id": str(rank)}
                for rank in range(2)
            ],
        }
    ],
}


def test_a_version_takes_the_place_of_another_one_on_all_ranks(operate, tmp_path, free_port):
    for version in (1, 2):
        write_version(tmp_path, version, AGENTS)
        export.save_sharded([adding(10 * version)], str(tmp_path / f"model{version}"), ranks=2)
    (tmp_path / "ranks.json").write_text(json.dumps(RANK_TABLE))
    operated = operate(
        *("--rank-table", "ranks.json", "--distributed-address", "127.0.0.1:0"),
        *("--version-number", "1"),
    )

    def start_agents(address, version):
        ports = ["--start-port", str(free_port(2))]
        models = tmp_path / f"model{version}"
        return operated.start(PIPESERVE, "agent", address, "--models", models, *ports)

    address = operated.program.wait_for(r"agents to register at (\S+)")[1]
    table = operated.run("status", "--agents")
    assert table.returncode == 1
    assert "NOT READY" in table.stdout
    assert table.stdout.count("absent") == 2
    old_agents = start_agents(address, 1)
    operated.await_doors()
    with Load(operated) as load:
        load.await_answers(1)
        loading = operated.start(PIPESERVE, "load", "work", "--admin-address", operated.admin)
        address = loading.wait_for(r"version 2: LOADING, 0 of 2 agents are at (\S+)")[1]
        load.await_answers(1)  # Meanwhile it goes on.
        new_agents = start_agents(address, 2)
        assert loading.wait() == 0
        load.await_answers(2)
        assert old_agents.wait() == 0
    assert load.wrong == []
    table = operated.do("status", "--agents")
    assert table.count("joined") == 2
    assert "2 *" in table
    assert operated.program.terminate() == 0
    assert new_agents.wait() == 0


def test_a_load_that_waits_for_agents_can_be_given_up(operate, tmp_path, free_port):
    for version in (1, 2):
        write_version(tmp_path, version, AGENTS)
        export.save_sharded([adding(10 * version)], str(tmp_path / f"model{version}"), ranks=2)
    (tmp_path / "ranks.json").write_text(json.dumps(RANK_TABLE))
    operated = operate(
        *("--rank-table", "ranks.json", "--distributed-address", "127.0.0.1:0"),
        *("--version-number", "1"),
    )
    address = operated.program.wait_for(r"agents to register at (\S+)")[1]
    refused = operated.run("unload", "work", "1")
    assert "servable work version 1 is still being started" in refused.stderr
    ports = ["--start-port", str(free_port(2))]
    operated.start(PIPESERVE, "agent", address, "--models", tmp_path / "model1", *ports)
    operated.await_doors()
    loading = operated.start(PIPESERVE, "load", "work", "--admin-address", operated.admin)
    loading.wait_for("version 2: LOADING")
    refused = operated.run("rollback", "work")
    assert "not now: load of work is still going on" in refused.stderr
    operated.do("unload", "work", "2")
    assert loading.wait() == 1
    assert "servable work has been stopped" in loading.output
    assert operated.states() == {1: "READY"}
    assert operated.version() == 1
    assert operated.program.terminate() == 0


def test_a_worker_that_starts_again_has_the_functions_of_its_version(operate, tmp_path):
    """They share a file, which is another one by then."""
    shared = tmp_path / "work" / "servable_config.py"
    for version in (1, 2):
        (write_version(tmp_path, version) / "servable_config.py").unlink()
    shared.write_text(CONFIG.format(version=1, declaration=LOCAL, warm=1))
    operated = operate("--version-number", "1", "--workers", "1").await_doors()
    shared.write_text(CONFIG.format(version=2, declaration=LOCAL, warm=2))
    operated.do("load", "work", "--no-switch")
    with Load(operated, clients=1) as load:
        load.await_answers(1)
        # Both; each starts again.
        assert operated.kill_workers() == 2
        operated.program.wait_for("(?s)(was killed by SIGKILL, starting it again.*){2}")
        load.await_answers(1)
        assert operated.version(2) == 2
    assert load.wrong == []


def test_a_load_that_waits_for_agents_is_given_up_with_the_server(operate, tmp_path):
    for version in (1, 2):
        write_version(tmp_path, version, AGENTS)
    (tmp_path / "ranks.json").write_text(json.dumps(RANK_TABLE))
    operated = operate("--rank-table", "ranks.json", "--distributed-address", "127.0.0.1:0")
    operated.program.wait_for(r"agents to register at (\S+)")
    refused = operated.run("load", "work", "--version-number", "1", "--wait-agents", "0.2")
    assert "current agents count: 0, rank size: 2" in refused.stderr
    assert operated.states() == {2: "LOADING"}
    loading = operated.start(
        PIPESERVE, "load", "work", "--version-number", "1", "--admin-address", operated.admin
    )
    loading.wait_for("version 1: LOADING")
    assert operated.program.terminate() == 0
    assert loading.wait() == 1


def test_the_functions_of_the_module_do_the_same(start_script, tmp_path):
    write_version(tmp_path, 1)
    shutil.copytree(pathlib.Path(tmp_path, "work"), tmp_path / "unused")
    server = start_script(
        "operate.py",
        f"""
import numpy as np
from pipeserve_native import UnavailableError, server
from pipeserve_native.client import Client

try:
    server.status()
except UnavailableError as error:
    print(error)
server.start_servables(server.ServableStartConfig({str(tmp_path)!r}, "work", 0))
server.start_grpc_server("127.0.0.1:0")
door = server.status()["grpc_address"]
input()

def version():
    reply = Client(door, "work", "predict").infer({{"a": np.zeros(2, np.float32)}})
    return int(reply[0]["function"])

print("before", version())
print("loaded", server.load_version("work", keep_previous=True))
print("now", version(), [each["version"] for each in server.status()["servables"]])
print("back to", server.roll_back("work", keep_previous=True), "which is", version())
server.switch_version("work", 2)
server.unload_version("work", 1)
print("at last", version(), server.status()["ready"])
server.stop()
""",
    )
    server.wait_for("gRPC server start success")
    write_version(tmp_path, 2)
    server.say("")
    assert server.wait() == 0
    for line in [
        "no server runs in this process",
        "before 1",
        "loaded 2",
        "now 2 [1, 2]",
        "back to 1 which is 1",
        "at last 2 True",
    ]:
        assert line in server.output.splitlines()
