"""Three times the load that a server can do: what it still does, and how fast it refuses the rest.

    .venv/bin/python benchmarks/overload.py        after `make install BUILD_BENCHMARKS=ON`

Peak goodput is that of clients who wait for each answer. Then requests come at three times that
rate, whatever comes back, at a server that takes in sixteen at a time. Both in turn, round after
round, at one server; the client runs on the same machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import load
from servers import PROGRAMS, Server, Workload, local_server

CONNECTIONS = 8
TAKEN_IN = 16  # Requests that wait or run.
OVERLOAD = 3
# So long that one client can offer three times as many on the same machine.
WORKLOADS = {
    "98 KB, 101 calls": Workload(calls=100),
    "98 KB, 1001 calls": Workload(calls=1000),
    "6 KB, 1001 calls": Workload(rows=8, calls=1000),
}


def peak(server: Server, workload: Workload, seconds: float, rate: float) -> float:
    """Requests per second of clients that wait; ``rate`` says how many make ``seconds``."""
    figures = load.Figures()
    load.run(str(CONNECTIONS), server, workload, int(rate * seconds), figures)
    return figures.summary()["requests_per_s"]


def offer(server: Server, workload: Workload, rate: float, seconds: float) -> dict[str, float]:
    """Requests at ``rate``: answered per second of the offer, and latencies in microseconds."""
    command: list[str | Path] = [
        PROGRAMS / "pipeserve_bench_offer", server.address, str(workload.rows), f"{rate:.0f}",
        str(seconds), str(CONNECTIONS),
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took, *lines = output.splitlines()
    latencies: dict[str, list[float]] = {"done": [], "refused": []}
    for line in lines:
        kind, latency = line.split()
        latencies[kind].append(float(latency))
    return {
        "offered_per_s": len(lines) / float(took),
        "goodput_per_s": len(latencies["done"]) / float(took),
        "done_p50_us": statistics.median(latencies["done"]),
        "done_p99_us": load.percentile(latencies["done"], 99),
        "refused_p50_us": statistics.median(latencies["refused"]),
        "refused_p90_us": load.percentile(latencies["refused"], 90),
        "refused_p99_us": load.percentile(latencies["refused"], 99),
    }


def measure(folder: Path, workload: Workload, rounds: int, seconds: float) -> dict[str, float]:
    """Medians over the rounds."""
    limit = str(TAKEN_IN * workload.request_bytes)
    seen: list[dict[str, float]] = []
    with local_server(folder, workload, "--max-enqueued-bytes", limit) as server:
        rate = peak(server, workload, 0.5, 1000)  # Warm, and a guess.
        for _ in range(rounds):
            rate = peak(server, workload, seconds, rate)
            row = offer(server, workload, OVERLOAD * rate, seconds)
            seen.append({"peak_per_s": rate, **row, "of_peak": row["goodput_per_s"] / rate})
    return {key: statistics.median(row[key] for row in seen) for key in seen[0]}


def show(name: str, row: dict[str, float]) -> None:
    """Prints what one workload gave."""
    print(
        f"overload, {name}: peak {row['peak_per_s']:.0f}/s; offered {row['offered_per_s']:.0f}/s: "
        f"{row['goodput_per_s']:.0f}/s answered ({row['of_peak']:.0%} of the peak), "
        f"p50 {row['done_p50_us']:.0f} us, p99 {row['done_p99_us']:.0f} us; "
        f"refused after p50 {row['refused_p50_us']:.0f} us, p90 {row['refused_p90_us']:.0f} us, "
        f"p99 {row['refused_p99_us']:.0f} us",
        flush=True,
    )


def measure_all(folder: Path, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Measures and prints each workload."""
    results = {}
    for name, workload in WORKLOADS.items():
        results[name] = measure(folder, workload, rounds, seconds)
        show(name, results[name])
    return results


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each half of a round")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pipeserve-bench-") as name:
        results = measure_all(Path(name), options.rounds, options.seconds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
