"""What Python costs a graph call: PipelineServable.run beside the same call from C++.

    .venv/bin/python benchmarks/call_cost.py        after `make install BUILD_BENCHMARKS=ON`

Both are made inside a pipeline function, one of Python and one of C++, with the same tensors and
with everything on one core. The two run in turn, round after round; what a call costs is the median
over all batches of 100 calls.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from pipeserve_native import export, server
from pipeserve_native.client import Client
from pipeserve_native.server import ServableStartConfig

NATIVE = Path(__file__).resolve().parent.parent / "build/wheel/benchmarks/pipeserve_bench_calls"
NAME = "calls"
CONFIG = """
import time

import numpy as np

from pipeserve_native.server import register

register.declare_servable("graph.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def call(x):
    y = register.call_servable(x, subgraph=0)
    return y


servable = register.PipelineServable(servable_name="calls", method="call")


@register.register_pipeline(output_names=["times"])
def measure(x, batches):
    times = np.empty(int(batches[0]))
    for batch in range(len(times)):
        start = time.perf_counter()
        for _ in range(100):
            servable.run(x)
        times[batch] = (time.perf_counter() - start) * 1e4
    return times


@register.register_pipeline(output_names=["times"])
def measure_chain(x, batches):
    times = np.empty(int(batches[0]))
    for batch in range(len(times)):
        start = time.perf_counter()
        for _ in range(100):
            x = servable.run(x)
        times[batch] = (time.perf_counter() - start) * 1e4
    return times
"""


def tiny_graph() -> export.Graph:
    """A graph that does next to nothing, with an output like its input."""
    graph = export.Graph("tiny")
    graph.output(graph.neg(graph.input("x", (4, 4), np.float32)))
    return graph


def step_graph() -> export.Graph:
    """The second graph of the specification's predict."""
    graph = export.Graph("step")
    x = graph.input("x", (128, 96), np.float32)
    weight = graph.parameter("weight", np.full((96, 16), 1.5, np.float32))
    graph.output(graph.neg(graph.matmul(x, weight)))
    return graph


GRAPHS = {"tiny": (tiny_graph, (4, 4)), "step": (step_graph, (128, 96))}


def serve(folder: str, graph: str) -> int:
    """A child: answers each line "<pipeline> <batches>" with the microseconds of a call."""
    with contextlib.redirect_stdout(sys.stderr):
        server.start_servables(ServableStartConfig(folder, NAME, 0))
        address = "unix:" + os.path.join(folder, "grpc")
        server.start_grpc_server(address)
    ones = np.ones(GRAPHS[graph][1], np.float32)
    clients: dict[str, Client] = {}
    for line in sys.stdin:
        pipeline, batches = line.split()
        client = clients.setdefault(pipeline, Client(address, NAME, pipeline))
        reply = client.infer({"x": ones, "batches": int(batches[0])})
        if isinstance(reply, dict):
            raise SystemExit(reply["error"])
        print(*reply[0]["times"], flush=True)
    server.stop()
    return 0


def write(folder: Path, graph: str) -> Path:
    """The servable's folder; returns its graph file."""
    version = folder / NAME / "1"
    version.mkdir(parents=True)
    (folder / NAME / "servable_config.py").write_text(CONFIG, encoding="utf-8")
    GRAPHS[graph][0]().save(str(version / "graph.mindir"))
    return version / "graph.mindir"


def measure(folder: Path, graph: str, rounds: int, batches: int) -> dict[str, float]:
    """Medians in microseconds."""
    file = write(folder, graph)
    times: dict[str, list[float]] = {"native": [], "python": []}
    if graph == "tiny":
        times["python, chained"] = []
    command = [sys.executable, __file__, "--serve", str(folder), graph]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        for _ in range(rounds):
            native = subprocess.run(
                [NATIVE, file, str(batches)], check=True, capture_output=True, text=True
            )
            times["native"] += map(float, native.stdout.split())
            for kind in list(times)[1:]:
                pipeline = "measure" if kind == "python" else "measure_chain"
                child.stdin.write(f"{pipeline} {batches}\n")
                child.stdin.flush()
                times[kind] += map(float, child.stdout.readline().split())
        child.stdin.close()
    return {kind: statistics.median(values) for kind, values in times.items()}


def show(graph: str, medians: dict[str, float]) -> None:
    """Prints what one graph gave."""
    native = medians["native"]
    print(f"call cost, {graph}: native {native:.2f} us a call")
    for kind, median in list(medians.items())[1:]:
        print(
            f"call cost, {graph}: {kind} {median:.2f} us, {median - native:.2f} us more", flush=True
        )


def measure_all(rounds: int, batches: int) -> dict[str, dict[str, float]]:
    """Measures and prints each graph, on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [max(cores)])
    results = {}
    try:
        for graph in GRAPHS:
            with tempfile.TemporaryDirectory(prefix="pipeserve-bench-") as name:
                results[graph] = measure(Path(name), graph, rounds, batches)
            show(graph, results[graph])
    finally:
        os.sched_setaffinity(0, cores)
    return results


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "GRAPH"), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batches", type=int, default=100, help="of 100 calls each, a round")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    results = measure_all(options.rounds, options.batches)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
