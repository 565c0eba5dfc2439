"""Latency of predict (1 + 10 graph calls, 98 KB request) beside a bare gRPC echo of the same bytes.

    .venv/bin/python benchmarks/run.py [--rounds 5] [--count 400] [--json FILE]

All servers run at once and are asked in turn, round after round, so that what else the machine does
hits them alike. Prints p50 and p99 in microseconds and the ratio to the echo.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeserve_native.testing import DemoServers

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build/wheel/benchmarks"


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
    return statistics.quantiles(values, n=100)[percent - 1]


def measure(addresses: dict[str, str], rounds: int, count: int) -> dict[str, dict[str, float]]:
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=400, help="requests a round and server")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(DemoServers(folder))
        figures = measure(
            {
                "gRPC echo": stack.enter_context(echo_server()),
                "predict, one process": servers.local_address,
                "predict, 8 agents": servers.distributed_address,
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
