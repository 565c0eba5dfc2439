"""predict beside its limits: a bare gRPC echo, a bare exchange in shared memory, the arithmetic.

    make bench                                        all tables, about six minutes
    .venv/bin/python benchmarks/run.py --quick        the first table, in seconds

Everything that is compared runs at once and is asked in turn, round after round, so that what else
the machine does hits all alike. Read the ratios; the microseconds belong to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import call_cost
import load
import overload
from servers import Server, Workload, distributed_server, echo_server, local_server

import pipeserve_native

RANKS = 8
CLIENTS = ("1", "8", "32", "python")
COLUMNS = (
    "p50_us",
    "p99_us",
    "requests_per_s",
    "cpu_us",
    "rss_mb",
    "copied_kb",
    "wakeups",
    "x_echo",
)
HEADINGS = ("p50 us", "p99 us", "req/s", "CPU us", "RSS MB", "copied KB", "wake-ups", "x echo")

Row = dict[str, float]
Table = dict[str, Row]


def cpu_model() -> str:
    """As the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pipeserve_native": pipeserve_native.__version__,
        "load_before": os.getloadavg()[0],
    }


def note(text: str) -> None:
    """Progress, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def compare(
    servers: dict[str, Server],
    workloads: dict[str, Workload],
    clients: Sequence[str],
    rounds: int,
    count: int,
) -> Table:
    """Every kind of client at every server; the first server is the echo."""
    figures = {
        (name, client): load.Figures()
        for client in clients
        for name in servers
        if not (client == "python" and name == "gRPC echo")
    }
    for name, server in servers.items():
        load.run("1", server, workloads[name], 30, load.Figures())  # Warm.
    for number in range(rounds):
        for (name, client), seen in figures.items():
            load.run(client, servers[name], workloads[name], count, seen)
        note(f"  round {number + 1} of {rounds}")
    table = {}
    for (name, client), seen in figures.items():
        row = seen.summary()
        echo = figures.get(("gRPC echo", client), figures["gRPC echo", "1"])
        row["x_echo"] = row["p50_us"] / statistics.median(echo.latencies_us)
        table[f"{name}, {client_name(client)}"] = row
    return table


def client_name(client: str) -> str:
    """For a row's name."""
    if client == "python":
        return "Python client"
    return "1 client" if client == "1" else f"{client} clients"


def show(title: str, table: Table) -> None:
    """Prints one table."""
    width = max(len(name) for name in table) + 2
    print(f"\n{title}\n{'':{width}}" + "".join(f"{heading:>10}" for heading in HEADINGS))
    for name, row in table.items():
        cells = (
            f"{row[key]:10.2f}" if key in ("wakeups", "x_echo") else f"{row[key]:10.0f}"
            for key in COLUMNS
        )
        print(f"{name:{width}}" + "".join(cells), flush=True)


def main_table(folder: Path, options: argparse.Namespace) -> Table:
    """predict of the specification, every way it can run."""
    workload = Workload()
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        servers = {
            "gRPC echo": enter(echo_server()),
            "one process": enter(local_server(folder / "local", workload)),
            "8 agents": enter(distributed_server(folder / "shm", workload, RANKS)),
        }
        if not options.quick:
            servers["8 agents, wait=all"] = enter(
                distributed_server(folder / "all", workload, RANKS, "--wait", "all")
            )
            servers["8 agents, lane=grpc"] = enter(
                distributed_server(folder / "grpc", workload, RANKS, "--lane", "grpc")
            )
        workloads = dict.fromkeys(servers, workload)
        clients = CLIENTS[:1] if options.quick else CLIENTS
        return compare(servers, workloads, clients, options.rounds, options.count)


def growth_tables(folder: Path, options: argparse.Namespace) -> dict[str, Table]:
    """One client; one quantity at a time."""
    rounds, count = max(2, options.rounds // 2), options.count // 2
    tables = {}
    with contextlib.ExitStack() as stack:
        servers = {"gRPC echo": stack.enter_context(echo_server())}
        for ranks in (1, 2, 4, 8):
            servers[f"{ranks} ranks"] = stack.enter_context(
                distributed_server(folder / f"ranks{ranks}", Workload(), ranks)
            )
        workloads = dict.fromkeys(servers, Workload())
        tables["ranks"] = compare(servers, workloads, ("1",), rounds, count)
    with_agents = functools.partial(distributed_server, ranks=RANKS)
    for where, start in (("one process", local_server), ("8 agents", with_agents)):
        for quantity, values in (("calls", (2, 11, 101)), ("rows", (8, 128, 2048, 21848))):
            servers, workloads = {}, {}
            with contextlib.ExitStack() as stack:
                servers["gRPC echo"] = stack.enter_context(echo_server())
                workloads["gRPC echo"] = Workload()
                for value in values:
                    workload = (
                        Workload(calls=value - 1) if quantity == "calls" else Workload(rows=value)
                    )
                    name = (
                        f"{value} calls"
                        if quantity == "calls"
                        else f"{workload.request_bytes / 1e3:.0f} KB request"
                    )
                    workloads[name] = workload
                    servers[name] = stack.enter_context(
                        start(folder / f"{quantity}{value}", workload)
                    )
                note(f"{quantity}, {where}")
                tables[f"{quantity}, {where}"] = compare(
                    servers, workloads, ("1",), rounds, max(20, count // 4)
                )
    return tables


def limits(folder: Path, count: int) -> dict[str, float]:
    """Medians in microseconds of what predict cannot be faster than."""
    version = folder / "local/matmul/1"
    files = [str(version / f"matmul_{index}.mindir") for index in range(2)]
    compute = load.run_limit("pipeserve_bench_compute", *files, "10", str(count))
    exchange = load.run_limit(
        "pipeserve_bench_exchange", str(RANKS), str(128 * 96 * 4), str(128 * 16 * 4), str(count)
    )
    return {
        "arithmetic of 11 calls, one process": statistics.median(compute),
        "11 bare exchanges with 8 processes": 11 * statistics.median(exchange),
    }


def main() -> int:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the first table, one client")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--count", type=int, default=400, help="requests a round, server and client"
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine()}
    print(" ".join(f"{key}={value}" for key, value in results["machine"].items()))
    with tempfile.TemporaryDirectory(prefix="pipeserve-bench-") as name:
        folder = Path(name)
        results["predict"] = main_table(folder, options)
        results["limits_us"] = limits(folder, options.count)
        show("predict: 1 + 10 calls, 98 KB request", results["predict"])
        for limit, microseconds in results["limits_us"].items():
            print(f"limit: {limit}: {microseconds:.0f} us")
        if not options.quick:
            results["growth"] = growth_tables(folder, options)
            for title, table in results["growth"].items():
                show(f"growth: {title}", table)
            note("call cost, overload")
            results["call_cost_us"] = call_cost.measure_all(rounds=5, batches=100)
            results["overload"] = overload.measure_all(folder / "overload", rounds=3, seconds=1)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
