"""Load on a server, and what it cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from servers import PROGRAMS, Server, Workload

from pipeserve_native.client import Client

_TICKS = os.sysconf("SC_CLK_TCK")
_PYTHON_CLIENT = """
import sys, time
import numpy as np
from pipeserve_native.client import Client
address, rows, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = Client(address, "matmul", "predict")
ones = np.ones((rows, 96), np.float32)
begin = time.perf_counter()
latencies = []
for _ in range(count):
    start = time.perf_counter()
    reply = client.infer({"x": ones, "y": ones})
    latencies.append((time.perf_counter() - start) * 1e6)
    if isinstance(reply, dict):
        sys.exit(reply["error"])
print(time.perf_counter() - begin)
print(*latencies, sep="\\n")
"""


@dataclass
class Figures:
    """Of all requests of one kind to one server, over all rounds."""

    latencies_us: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # Of the server and its agents.
    rss_bytes: int = 0
    copied_bytes: int = 0  # By the server, without its agents; so are the wake-ups.
    wakeups: int = 0

    def summary(self) -> dict[str, float]:
        """What the tables and the JSON file show."""
        count = len(self.latencies_us)
        return {
            "p50_us": statistics.median(self.latencies_us),
            "p99_us": percentile(self.latencies_us, 99),
            "requests_per_s": count / self.seconds,
            "cpu_us": self.cpu_seconds / count * 1e6,
            "rss_mb": self.rss_bytes / 1e6,
            "copied_kb": self.copied_bytes / count / 1e3,
            "wakeups": self.wakeups / count,
        }


def percentile(values: list[float], percent: int) -> float:
    """The value that ``percent`` percent of ``values`` do not exceed."""
    return statistics.quantiles(values, n=100)[percent - 1]


def _cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(stat[11]) + int(stat[12])
    return ticks / _TICKS


def _rss_bytes(pids: list[int]) -> int:
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def _counters(server: Server) -> tuple[int, int]:
    if not server.counts:
        return 0, 0
    reply = Client(server.address, "matmul", "counters").infer({"a": np.zeros(1, np.int8)})
    if isinstance(reply, dict):
        sys.exit(reply["error"])
    return int(reply[0]["copied_bytes"]), int(reply[0]["thread_wakeups"])


def _command(client: str, server: Server, workload: Workload, count: int) -> list[str]:
    if client == "python":
        return [
            sys.executable, "-c", _PYTHON_CLIENT, server.address, str(workload.rows), str(count),
        ]  # fmt: skip
    program = str(PROGRAMS / "pipeserve_bench_predict")
    return [program, server.address, str(workload.rows), str(count), client]


def run(client: str, server: Server, workload: Workload, count: int, figures: Figures) -> None:
    """``count`` requests, added to ``figures``. ``client``: "python", or how many native ones."""
    pids = server.pids()
    copied, wakeups = _counters(server)
    cpu = _cpu_seconds(pids)
    command = _command(client, server, workload, count)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    figures.cpu_seconds += _cpu_seconds(pids) - cpu
    counters = _counters(server)
    figures.copied_bytes += counters[0] - copied
    figures.wakeups += counters[1] - wakeups
    figures.rss_bytes = _rss_bytes(pids)
    figures.seconds += float(output[0])
    figures.latencies_us += [float(value) for value in output[1:]]


def run_limit(program: str, *arguments: str) -> list[float]:
    """Times in microseconds that a program of this folder prints."""
    command = [str(PROGRAMS / program), *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(value) for value in output.split()]
