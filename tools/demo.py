"""Serves the two-graph, eight-rank model once and shows what predict answers.

    python tools/demo.py

Writes the model into a temporary folder with `pipeserve export-demo`, starts `pipeserve serve` and
`pipeserve agent` as a user would, calls predict with ones and stops everything. Ctrl-C at any
moment stops it, too: no process, port or file is left.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeserve_native.client import Client

RANKS = 8
STOP_SECONDS = 30
COMMAND = os.path.join(os.path.dirname(sys.executable), "pipeserve")


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that nobody uses.

    They lie below those that the kernel gives to connections, which could take one meanwhile.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first_ephemeral = int(file.read().split()[0])
    while True:
        first = random.randrange(10_000, first_ephemeral - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Ctrl-C inside the block is raised at its end."""
    seen: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda signum, _: seen.append(signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if seen:
        raise KeyboardInterrupt


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A `pipeserve` command that ends with the block.

    It has a session of its own, so that Ctrl-C reaches this script alone, which then stops it.
    """
    process = None
    try:
        with interrupts_deferred():  # Else the process might run before its name is known here.
            process = subprocess.Popen(
                [COMMAND, *arguments],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        yield process
    finally:
        if process is not None:
            stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """Ends a command, by force if it does not end by itself."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    """Reads the command's output up to a line that matches; the match's first group."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(pattern, line):
            return match.group(1)
    raise RuntimeError(f"a command ended with exit code {process.wait()} before it was ready")


def call(address: str) -> tuple[float, Any]:
    """One predict with ones: the seconds it took, and the answer."""
    client = Client(address, "matmul", "predict")
    ones = np.ones((128, 96), np.float32)
    start = time.perf_counter()
    result = client.infer({"x": ones, "y": ones})
    seconds = time.perf_counter() - start
    if isinstance(result, dict):
        raise RuntimeError(result["error"])
    return seconds, result


def demo(folder: str) -> None:
    """The main job, start to end, with its files in `folder`."""
    print(f"Writing two graphs, each cut into {RANKS} shards ...", flush=True)
    with running("export-demo", folder) as export:
        wait_for(export, r"(Wrote)")
    print(f"Starting the server and {RANKS} agents ...", flush=True)
    server_arguments = ["--rank-table", f"{folder}/rank_table_8pcs.json"]
    server_arguments += ["--distributed-address", "127.0.0.1:0"]
    server_arguments += ["--grpc-address", "127.0.0.1:0", "--rest-address", ""]
    server_arguments += ["--admin-address", ""]
    with running("serve", f"{folder}/matmul", *server_arguments) as server:
        agents_door = wait_for(server, r"agents to register at (\S+)")
        port = str(free_ports(RANKS))
        agent_arguments = [agents_door, "--models", f"{folder}/model", "--start-port", port]
        with running("agent", *agent_arguments) as agents:
            wait_for(agents, r"(Success) to start agents")
            address = wait_for(server, r"gRPC server start success, listening on (\S+)")
            _, result = call(address)
            print(f"result:\n {result}")
            seconds, _ = call(address)
            print(f"A second call took {seconds * 1000:.2f} ms.", flush=True)
            print("Stopping everything ...", flush=True)
            stop(server)  # Before the agents, which it would otherwise report as lost.


def main() -> int:
    """Runs the demo in a folder that does not outlive it."""
    try:
        with tempfile.TemporaryDirectory(prefix="pipeserve-demo-") as folder:
            demo(folder)
    except KeyboardInterrupt:
        print("Interrupted; everything is stopped.", file=sys.stderr)
        return 130
    except (OSError, RuntimeError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
