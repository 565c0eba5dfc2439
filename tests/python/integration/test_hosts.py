"""Two hosts of four ranks: network namespaces of this machine, joined by a virtual cable."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from pipeserve_native import _demo

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")
IPS = ("10.77.0.1", "10.77.0.2")
RANKS_OF_HOST = 4
HUB = f"{IPS[0]}:6200"
DOOR = f"{IPS[0]}:5500"

ASK = f"""
import sys
import threading
import time

import numpy as np

from pipeserve_native.client import Client

stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
client = Client("{DOOR}", "matmul", "predict")
right, longest = 0, 0.0
while not stop.is_set():
    value = np.float32(right + 1)
    x = np.full((128, 96), value)
    began = time.monotonic()
    reply = client.infer({{"x": x, "y": -x}})
    longest = max(longest, time.monotonic() - began)
    if not isinstance(reply, list) or not (
        np.all(reply[0]["x"] == -96 * value) and np.all(reply[0]["z"] == 144 * value)
    ):
        print("wrong", reply, flush=True)
        break
    right += 1
    print("right", right, flush=True)
print(f"longest {{longest:.2f}}", flush=True)
"""


class Host:
    """A network of its own; what runs in it ends with the test."""

    def __init__(self, start, enter, cwd):
        self._start = start
        self._cwd = cwd
        holder = start(*enter, "sh", "-c", "echo up; cat", cwd=cwd)
        holder.wait_for("up")
        self.pid = holder.process.pid
        self.enter = ["nsenter", f"--target={self.pid}", "-U", "--preserve-credentials", "-n"]
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command):
        subprocess.run([*self.enter, *command], check=True, timeout=30)

    def start(self, *command):
        return self._start(*self.enter, *command, cwd=self._cwd)

    def launch(self, number, *flags):
        return self.start(
            *(PIPESERVE, "agent", HUB, "--models", f"host{number}", "--max-restarts", "-1"), *flags
        )


@pytest.fixture
def hosts(start, tmp_path):
    first = ["unshare", "--map-root-user", "--net"]
    tools = [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if tools:
        pytest.skip(
            f"no test with several hosts: {', '.join(tools)} of util-linux or iproute2 missing"
        )
    make_cable = "ip link add eth0 type veth peer name eth1"
    tried = subprocess.run([*first, "sh", "-c", make_cable], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no test with several hosts: namespaces or veth not allowed: {tried.stderr}")
    pair = [Host(start, first, tmp_path)]
    pair.append(Host(start, [*pair[0].enter, "unshare", "--net"], tmp_path))
    pair[0].run(*make_cable.split())
    pair[0].run("ip", "link", "set", "eth1", "netns", str(pair[1].pid))
    for number, host in enumerate(pair):
        host.run("ip", "address", "add", f"{IPS[number]}/24", "dev", f"eth{number}")
        host.run("ip", "link", "set", f"eth{number}", "up")
    return pair


def rank_table():
    servers = [
        {
            "server_id": ip,
            "device": [
                {"device_id": str(i), "rank_id": str(number * RANKS_OF_HOST + i)}
                for i in range(RANKS_OF_HOST)
            ],
        }
        for number, ip in enumerate(IPS)
    ]
    return {"version": "1.0", "server_count": "2", "server_list": servers, "status": "completed"}


@pytest.fixture
def service(hosts, tmp_path):
    """A function that starts everything, and returns the server and the launchers."""
    _demo.write(tmp_path)
    (tmp_path / "table.json").write_text(json.dumps(rank_table()))
    for rank in range(2 * RANKS_OF_HOST):
        number, index = divmod(rank, RANKS_OF_HOST)
        target = tmp_path / f"host{number}" / f"device{index}"
        shutil.copytree(tmp_path / "model" / f"device{rank}", target)
    (tmp_path / "ask.py").write_text(ASK)

    def run(*flags, server_flags=()):
        server = hosts[0].start(
            *(PIPESERVE, "serve", "matmul", "--rank-table", "table.json"),
            *(
                "--distributed-address",
                HUB,
                "--grpc-address",
                DOOR,
                "--rest-address",
                "",
                "--admin-address",
                "",
            ),
            *server_flags,
        )
        launchers = [host.launch(number, *flags) for number, host in enumerate(hosts)]
        server.wait_for("gRPC server start success")
        return server, launchers

    return run


@contextlib.contextmanager
def asking(host):
    client = host.start(sys.executable, "ask.py")
    yield client
    client.say("stop")
    assert client.wait() == 0
    assert "wrong" not in client.output


def answers(client):
    return len(re.findall("(?m)^right", client.output))


def await_more(client, count=3):
    client.wait_for(f"(?m)^right {answers(client) + count}$|^wrong")


def cut(host):
    host.run("ip", "link", "set", "eth0", "down")


def heal(host):
    host.run("ip", "link", "set", "eth0", "up")


@pytest.mark.parametrize("collectives", ["auto", "gloo"])
def test_two_hosts_serve(service, hosts, collectives):
    server, launchers = service("--collectives", collectives)
    with asking(hosts[0]) as client:
        await_more(client)
    assert server.terminate() == 0
    for launcher in launchers:
        assert launcher.wait() == 0


def test_a_cable_that_is_cut_and_mended_costs_time_and_no_answer(service, hosts):
    server, _ = service()
    with asking(hosts[0]) as client:
        await_more(client)
        cut(hosts[0])
        server.wait_for("agent disconnected servable=matmul rank=[4-7]")
        heal(hosts[0])
        await_more(client)


def test_a_slow_cable_loses_nobody(service, hosts):
    server, launchers = service()
    slow = "tc qdisc replace dev eth{} root tbf rate 30mbit burst 32kb latency 2s"
    for number, host in enumerate(hosts):
        tried = subprocess.run(
            [*host.enter, *slow.format(number).split()], capture_output=True, text=True
        )
        if tried.returncode != 0:
            pytest.skip(f"the kernel has no tbf to slow a cable down: {tried.stderr}")
    with asking(hosts[0]) as client:
        await_more(client, 2)
    assert "agent disconnected" not in server.output
    assert server.terminate() == 0
    for launcher in launchers:
        assert "starting it again" not in launcher.output


def test_a_host_that_is_gone_is_replaced(service, hosts):
    server, launchers = service()
    with asking(hosts[0]) as client:
        await_more(client)
        cut(hosts[0])  # First: nobody says goodbye.
        launchers[1].process.send_signal(signal.SIGKILL)
        launchers[1].wait()
        server.wait_for("agent disconnected servable=matmul rank=[4-7]")
        heal(hosts[0])
        replacement = hosts[1].launch(1)
        replacement.wait_for("Success to start agents")
        await_more(client)


def test_requests_fail_when_a_host_stays_away_for_too_long(service, hosts):
    service(server_flags=["--failover-timeout", "2"])
    client = hosts[0].start(sys.executable, "ask.py")
    await_more(client)
    cut(hosts[0])
    client.wait_for("(?m)^wrong.*(is gone|broke|is not available)")
    client.say("stop")
    client.wait()
