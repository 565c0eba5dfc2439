"""Agents, their launcher and the server are killed and stopped while clients ask."""

import os
import random
import signal
import statistics
import sys
import threading
import time

import numpy as np
import pytest

from pipeserve_native import _demo
from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")
RANKS = 8
LIMIT_SECONDS = 60
ONES = np.ones((128, 96), np.float32)

MORE_PIPELINES = """

@register.register_pipeline(output_names=["z"], replayable=False)
def predict_once(y):
    print("predict_once has begun", flush=True)
    for _ in range(2000):
        z = step_graph.run(y)
    return z


@register.register_pipeline(output_names=["z"])
def predict_long(y):
    print("predict_long has begun", flush=True)
    for _ in range(2000):
        z = step_graph.run(y)
    return z
"""


def await_true(condition, what):
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.01)


class Clients:
    """Threads that ask without a pause and check every answer."""

    def __init__(self, address, count=2):
        self._address = address
        self._stop = threading.Event()
        self.sent = 0
        self.right = 0
        self.wrong = []
        self.times = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(count)]

    def _ask(self, number):
        client = Client(self._address, "matmul", "predict")
        value = number * 1000.0
        while not self._stop.is_set():
            value += 1
            x = np.full((128, 96), value, np.float32)
            began = time.monotonic()
            with self._lock:
                self.sent += 1
            reply = client.infer({"x": x, "y": -x})
            with self._lock:
                self.times.append(time.monotonic() - began)
                if is_right(reply, value):
                    self.right += 1
                else:
                    self.wrong.append(str(reply)[:500])

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_more(self, count=20):
        """That many answers from now on."""
        with self._lock:
            target = self.right + count
        await_true(lambda: self.right >= target or self.wrong, f"{target} answers")


def is_right(reply, value):
    if not isinstance(reply, list) or "error" in reply[0]:
        return False
    expected = {"x": -96.0 * value, "z": 144.0 * value}
    return all(
        reply[0][name].shape == (128, 16) and np.all(reply[0][name] == np.float32(number))
        for name, number in expected.items()
    )


class Service:
    """The demo's eight agents, their launcher and their server, as an operator starts them."""

    def __init__(self, start, free_port, folder):
        _demo.write(folder)
        with open(folder / "matmul" / "servable_config.py", "a", encoding="utf-8") as file:
            file.write(MORE_PIPELINES)
        self._start = start
        self._folder = folder
        self.hub = f"127.0.0.1:{free_port()}"
        self.door = f"127.0.0.1:{free_port()}"
        self.agent_port = free_port(RANKS)

    def serve(self, *flags):
        server = self._start(
            *(PIPESERVE, "serve", "matmul", "--rank-table", "rank_table_8pcs.json"),
            *("--distributed-address", self.hub, "--grpc-address", self.door),
            *("--rest-address", "", "--admin-address", "", *flags),
            cwd=self._folder,
        )
        return server

    def launch(self, *flags):
        return self._start(
            *(PIPESERVE, "agent", self.hub, "--models", "model"),
            *("--start-port", self.agent_port, "--max-restarts", -1, *flags),
            cwd=self._folder,
        )

    def shell(self, command):
        path = os.path.dirname(PIPESERVE)
        return self._start("sh", "-c", f"PATH={path}:$PATH; {command}", cwd=self._folder)

    def await_ready(self, server):
        server.wait_for("gRPC server start success")


@pytest.fixture
def service(start, free_port, tmp_path):
    return Service(start, free_port, tmp_path)


def await_agents(launcher, but=()):
    """All ranks, by processes that are none of ``but``."""
    await_true(
        lambda: len(agents := launcher.agents()) == RANKS and not set(agents.values()) & set(but),
        "eight agents",
    )


def test_requests_outlive_the_death_of_each_agent(service):
    server, launcher = service.serve(), service.launch()
    service.await_ready(server)
    with Clients(service.door) as clients:
        clients.await_more()
        for rank in range(RANKS):
            killed = launcher.agents()[rank]
            os.kill(killed, signal.SIGKILL)
            await_agents(launcher, but=[killed])
            clients.await_more()
    assert clients.wrong == []
    assert clients.right == clients.sent
    assert launcher.output.count("ended with exit code -9, starting it again") == RANKS
    assert server.terminate() == 0
    assert launcher.wait() == 0


def test_requests_outlive_the_death_of_all_agents_at_once(service):
    server, launcher = service.serve(), service.launch()
    service.await_ready(server)
    with Clients(service.door) as clients:
        clients.await_more()
        killed = launcher.agents().values()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        await_agents(launcher, but=killed)
        clients.await_more()
    assert clients.wrong == []
    assert clients.right == clients.sent


def test_an_agent_that_hangs_is_found_killed_and_replaced(service):
    heartbeat = ("--heartbeat", 0.2, "--dead-after", 1.0)
    server, launcher = service.serve(*heartbeat), service.launch(*heartbeat)
    service.await_ready(server)
    with Clients(service.door) as clients:
        clients.await_more()
        hung = launcher.agents()[3]
        os.kill(hung, signal.SIGSTOP)
        launcher.wait_for(f"agent of rank 3 gives no sign of life, killing process {hung}")
        await_agents(launcher, but=[hung])
        clients.await_more()
    assert clients.wrong == []
    assert clients.right == clients.sent
    assert max(clients.times) < 10.0  # The call timeout; heartbeats were faster.


def test_requests_outlive_the_death_of_the_launcher(service):
    server, launcher = service.serve(), service.launch()
    service.await_ready(server)
    with Clients(service.door) as clients:
        clients.await_more()
        launcher.process.kill()
        launcher.wait()  # Its agents have ended, too: they had its output open.
        launcher = service.launch()
        launcher.wait_for("Success to start agents")
        clients.await_more()
    assert clients.wrong == []
    assert clients.right == clients.sent


def test_agents_outlive_the_death_of_the_server(service):
    server, launcher = service.serve(), service.launch()
    service.await_ready(server)
    agents = launcher.agents()
    server.process.kill()
    server.wait()
    server = service.serve()
    service.await_ready(server)
    with Clients(service.door) as clients:
        clients.await_more()
    assert clients.wrong == []
    assert launcher.agents() == agents
    assert server.terminate() == 0
    assert launcher.wait() == 0


def test_random_kills_cost_time_and_no_answer(service):
    """Longer with PIPESERVE_SOAK_KILLS=1000, as ``make soak`` does."""
    kills = int(os.environ.get("PIPESERVE_SOAK_KILLS", "12"))
    random.seed(kills)
    heartbeat = ("--heartbeat", 0.2, "--dead-after", 1.0)
    server, launcher = service.serve(*heartbeat), service.launch(*heartbeat)
    service.await_ready(server)
    with Clients(service.door) as clients:
        clients.await_more()
        for _ in range(kills):
            agents = launcher.agents()
            if agents:
                how = random.choice([signal.SIGKILL] * 9 + [signal.SIGSTOP])
                os.kill(random.choice(list(agents.values())), how)
            clients.await_more(random.choice([0, 1, 3, 30]))
        await_agents(launcher)
        clients.await_more()
    assert clients.wrong == []
    assert clients.right == clients.sent
    times = sorted(clients.times)
    print(
        f"{kills} kills, {len(times)} answers, all right; median {statistics.median(times):.4f} s, "
        f"99th percentile {times[len(times) * 99 // 100]:.2f} s, longest {times[-1]:.2f} s"
    )
    assert server.terminate() == 0
    assert launcher.wait() == 0


def in_flight(service, server, launcher, method):
    """The reply to a request under which an agent is killed."""
    killed = launcher.agents()[5]
    replies = []
    client = Client(service.door, "matmul", method)
    ask = threading.Thread(target=lambda: replies.append(client.infer({"y": ONES})))
    ask.start()
    server.wait_for(f"{method} has begun")
    assert not replies
    os.kill(killed, signal.SIGKILL)
    ask.join()
    await_agents(launcher, but=[killed])
    return replies[0]


def test_what_must_not_be_repeated_fails_and_all_else_is_repeated(service):
    server, launcher = service.serve(), service.launch()
    service.await_ready(server)
    (answered,) = in_flight(service, server, launcher, "predict_long")
    assert np.all(answered["z"] == -144)
    failed = in_flight(service, server, launcher, "predict_once")
    assert failed["error"].startswith("Pipeline Failed: Run failed: matmul.step: ")
    assert "rank 5 is gone" in failed["error"] or "agent broke" in failed["error"]


def test_stop_ends_everything_with_the_first_agent_as_the_original_does(service):
    flags = ("--on-agent-failure", "stop")
    server, launcher = service.serve(*flags), service.launch(*flags)
    service.await_ready(server)
    os.kill(launcher.agents()[2], signal.SIGKILL)
    assert server.wait(timeout=10) == 0
    assert launcher.wait(timeout=20) == 0
    assert "ended with exit code -9, ending its siblings" in launcher.output
    assert "now exit distributed servable" in server.output


def test_a_full_disk_stops_nobody(service, tmp_path):
    """What everybody writes goes to a device that is always full."""
    (tmp_path / "full").symlink_to("/dev/full")
    shell = "exec pipeserve {} > full 2> full"
    serve = f"serve matmul --rank-table rank_table_8pcs.json --distributed-address {service.hub} "
    serve += f"--grpc-address {service.door} --rest-address '' --admin-address ''"
    launch = f"agent {service.hub} --models model --start-port {service.agent_port}"
    programs = [service.shell(shell.format(command)) for command in (serve, launch)]
    replies = []

    def is_served():
        reply = Client(service.door, "matmul", "predict").infer({"x": ONES, "y": ONES})
        replies.append(reply)
        return isinstance(reply, list)

    await_true(is_served, "an answer")
    assert np.all(replies[-1][0]["x"] == -96) and np.all(replies[-1][0]["z"] == -144)
    for program in programs:
        assert program.process.poll() is None


def test_an_agent_that_dies_again_and_again_ends_all(service):
    server = service.serve()
    launcher = service.launch("--max-restarts", 1)
    service.await_ready(server)
    killed = []
    for _ in range(2):
        await_agents(launcher, but=killed)
        killed.append(launcher.agents()[1])
        os.kill(killed[-1], signal.SIGKILL)
    launcher.wait_for("agent of rank 1 ended with exit code -9 after 1 restarts within 10 minutes")
    assert launcher.wait() == 0
    assert server.process.poll() is None
