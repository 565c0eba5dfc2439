"""Latency of predict (1 + 10 graph calls, 98 KB request) beside a bare gRPC echo of the same bytes.

    .venv/bin/python benchmarks/run.py [--rounds 5] [--count 400] [--json FILE]

All servers run at once and are asked in turn, round after round, so that what else the machine does
hits them alike. Prints p50 and p99 in microseconds and the ratio to the echo.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeserve_native import _demo, export

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build/wheel/benchmarks"
sys.path.insert(0, str(ROOT / "examples"))

from demo import RANKS, free_ports, running, wait_for  # noqa: E402

LISTENING = r"gRPC server start success, listening on (\S+)"


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """A bare gRPC server; yields its address."""
    process = subprocess.Popen(
        [PROGRAMS / "pipeserve_bench_echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.stdin.close()
        process.wait(timeout=10)


@contextlib.contextmanager
def local_server(folder: Path) -> Iterator[str]:
    """The demo's pipeline over two whole graphs in one process; yields its address."""
    version = folder / "matmul/1"
    version.mkdir(parents=True)
    for index, weight in enumerate((0.5, 1.5)):
        graph = export.Graph(f"matmul_{index}")
        x = graph.input("x", (128, 96), np.float32)
        w = graph.parameter("weight", np.full((96, 16), weight, np.float32))
        graph.output(graph.neg(graph.matmul(x, w)))
        graph.save(str(version / f"matmul_{index}.mindir"))
    config = (folder.parent / "distributed/matmul/servable_config.py").read_text(encoding="utf-8")
    declaration = (
        'register.declare_servable(["matmul_0.mindir", "matmul_1.mindir"], "MindIR", '
        "with_batch_dim=False)"
    )
    config = re.sub(r"distributed\.declare_servable\(.*\)", declaration, config)
    (folder / "matmul/servable_config.py").write_text(config, encoding="utf-8")
    arguments = ["--grpc-address", "127.0.0.1:0", "--rest-address", ""]
    with running("serve", str(folder / "matmul"), *arguments) as server:
        yield wait_for(server, LISTENING)


@contextlib.contextmanager
def distributed_server(folder: Path) -> Iterator[str]:
    """The demo as `pipeserve export-demo` wrote it, on eight agents; yields its address."""
    arguments = ["--rank-table", str(folder / "rank_table_8pcs.json")]
    arguments += ["--distributed-address", "127.0.0.1:0"]
    arguments += ["--grpc-address", "127.0.0.1:0", "--rest-address", ""]
    with running("serve", str(folder / "matmul"), *arguments) as server:
        door = wait_for(server, r"agents to register at (\S+)")
        models = ["--models", str(folder / "model"), "--start-port", str(free_ports(RANKS))]
        with running("agent", door, *models):
            yield wait_for(server, LISTENING)


def latencies(address: str, count: int) -> list[float]:
    """Microseconds of `count` requests to `address`, by the native client."""
    run = subprocess.run(
        [PROGRAMS / "pipeserve_bench_predict", address, str(count)],
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(line) for line in run.stdout.split()]


def percentile(values: list[float], percent: int) -> float:
    """The value that `percent` percent of `values` do not exceed."""
    return statistics.quantiles(values, n=100)[percent - 1]


def measure(addresses: dict[str, str], rounds: int, count: int) -> dict[str, dict[str, float]]:
    """Asks all servers in turn; the figures of each."""
    seen: dict[str, list[float]] = {name: [] for name in addresses}
    for address in addresses.values():
        latencies(address, 50)  # Warm.
    for number in range(rounds):
        for name, address in addresses.items():
            seen[name] += latencies(address, count)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    echo = statistics.median(seen["gRPC echo"])
    return {
        name: {
            "p50_us": statistics.median(values),
            "p99_us": percentile(values, 99),
            "ratio_to_echo": statistics.median(values) / echo,
        }
        for name, values in seen.items()
    }


def main() -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=400, help="requests a round and server")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _demo.write(str(folder / "distributed"))
        figures = measure(
            {
                "gRPC echo": stack.enter_context(echo_server()),
                "predict, one process": stack.enter_context(local_server(folder / "local")),
                "predict, 8 agents": stack.enter_context(
                    distributed_server(folder / "distributed")
                ),
            },
            options.rounds,
            options.count,
        )
    print(f"{'':24}{'p50 us':>10}{'p99 us':>10}{'x echo':>8}")
    for name, row in figures.items():
        print(f"{name:24}{row['p50_us']:10.0f}{row['p99_us']:10.0f}{row['ratio_to_echo']:8.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
