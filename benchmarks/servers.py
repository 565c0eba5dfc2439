"""What is measured: servers of matmul.predict, and the bare echo that they are held against."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeserve_native import _demo, export

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build/wheel/benchmarks"
sys.path.insert(0, str(ROOT / "tools"))

from demo import free_ports, running, stop, wait_for  # noqa: E402

_LISTENING = r"gRPC server start success, listening on (\S+)"
_CLIENT_ADDRESSES = ["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""]
# What a server has copied and woken so far, asked like any pipeline.
_COUNTERS = """

@register.register_pipeline(output_names=["copied_bytes", "thread_wakeups"])
def counters(a):
    from pipeserve_native import server

    now = server.counters()
    return np.int64(now["copied_bytes"]), np.int64(now["thread_wakeups"])
"""
_COLUMNS = 96
_WIDTH = 16


@dataclass(frozen=True)
class Workload:
    """predict: one call of the first graph, ``calls`` of the second, on float32[rows,96] each."""

    rows: int = 128
    calls: int = 10

    @property
    def request_bytes(self) -> int:
        """Of both inputs."""
        return 2 * self.rows * _COLUMNS * 4


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: str
    pid: int
    launcher: int | None = None
    counts: bool = True  # Whether it can be asked for its counters.

    def pids(self) -> list[int]:
        """The server's and its agents'."""
        parents: dict[int, int] = {}
        for entry in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                stat = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
                parents[int(entry)] = int(stat[1])
        family = [self.pid] if self.launcher is None else [self.pid, self.launcher]
        for pid in family:
            family.extend(child for child, parent in parents.items() if parent == pid)
        return family


@contextlib.contextmanager
def echo_server() -> Iterator[Server]:
    """A bare gRPC server that answers ready-made bytes."""
    process = subprocess.Popen(
        [PROGRAMS / "pipeserve_bench_echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Server(process.stdout.readline().split()[-1], process.pid, counts=False)
    finally:
        process.stdin.close()
        process.wait(timeout=10)


def _graphs(workload: Workload, ranks: int) -> list[export.Graph]:
    graphs = []
    for index, weight in enumerate((0.5, 1.5)):
        graph = export.Graph(f"matmul_{index}")
        x = graph.input("x", (workload.rows, _COLUMNS), np.float32)
        w = graph.parameter("weight", np.full((_COLUMNS, _WIDTH), weight, np.float32))
        strategy = ((1, ranks), (ranks, 1)) if ranks > 1 else None
        graph.output(graph.neg(graph.matmul(x, w, strategy=strategy)))
        graphs.append(graph)
    return graphs


def _write_config(folder: Path, declaration: str, workload: Workload) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = _demo.config(declaration, workload.calls) + _COUNTERS
    (folder / "servable_config.py").write_text(config, encoding="utf-8")


@contextlib.contextmanager
def local_server(folder: Path, workload: Workload, *options: str) -> Iterator[Server]:
    """Both graphs, whole, in the server's process. Leaves the model files in ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    version = folder / "matmul/1"
    version.mkdir(parents=True)
    for index, graph in enumerate(_graphs(workload, 1)):
        graph.save(str(version / f"matmul_{index}.mindir"))
    files = '["matmul_0.mindir", "matmul_1.mindir"]'
    declaration = f'register.declare_servable({files}, "MindIR", with_batch_dim=False)'
    _write_config(folder / "matmul", declaration, workload)
    with running("serve", str(folder / "matmul"), *_CLIENT_ADDRESSES, *options) as server:
        yield Server(wait_for(server, _LISTENING), server.pid)


@contextlib.contextmanager
def distributed_server(
    folder: Path, workload: Workload, ranks: int, *options: str
) -> Iterator[Server]:
    """Both graphs cut over ``ranks`` agents."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.redirect_stdout(sys.stderr):
        _demo.write(str(folder))
    shutil.rmtree(folder / "model")
    export.save_sharded(_graphs(workload, ranks), str(folder / "model"), ranks=ranks)
    _write_config(folder / "matmul", _demo.declare_distributed(ranks), workload)
    (folder / "rank_table.json").write_text(_demo.rank_table(ranks), encoding="utf-8")
    arguments = ["--rank-table", str(folder / "rank_table.json")]
    arguments += ["--distributed-address", "127.0.0.1:0", *_CLIENT_ADDRESSES, *options]
    with running("serve", str(folder / "matmul"), *arguments) as server:
        door = wait_for(server, r"agents to register at (\S+)")
        models = ["--models", str(folder / "model"), "--start-port", str(free_ports(ranks))]
        with running("agent", door, *models) as agents:
            wait_for(agents, r"(Success) to start agents")
            yield Server(wait_for(server, _LISTENING), server.pid, agents.pid)
            stop(server)  # Before the agents, which it would otherwise report as lost.
