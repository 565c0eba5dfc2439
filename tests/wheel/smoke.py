"""What a user does first with an installed wheel, in an empty folder. Needs numpy alone.

A model is written, run, served in one process and called; the demo of eight ranks is served by its
own scripts; and nothing that the wheel brings may use a library that is not in the wheel.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterator

SECONDS = 60
# What manylinux wheels may expect of every system; the names end before the version.
SYSTEM = (
    "ld-linux",
    "libc.",
    "libdl.",
    "libgcc_s.",
    "libm.",
    "libpthread.",
    "librt.",
    "libstdc++.",
    "libz.",
)

CONFIG = """
from pipeserve_native.server import register

register.declare_servable("double.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def double(x):
    y = register.call_servable(x)
    return y


double_graph = register.PipelineServable(servable_name="doubler", method="double")


@register.register_pipeline(output_names=["y"])
def four_times(x):
    return double_graph.run(double_graph.run(x))
"""


def libraries(pid: int | str = "self") -> set[pathlib.Path]:
    """The shared libraries that a process has mapped."""
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
    return {pathlib.Path(path) for path in paths if ".so" in os.path.basename(path)}


def check_libraries(what: str, used: set[pathlib.Path]) -> None:
    """All of them come with the wheel, with Python or with every Linux."""
    site = pathlib.Path(sysconfig.get_path("platlib")).resolve()
    foreign = [
        str(path)
        for path in used
        if site not in path.resolve().parents
        and path.parent.name != "lib-dynload"
        and not path.name.startswith(SYSTEM)
    ]
    assert not foreign, f"{what} uses libraries of this machine: {foreign}"
    assert any("libgrpc" in path.name for path in used), f"{what} has no gRPC: {used}"


def check_requirements() -> None:
    """The package needs numpy, and nothing else."""
    requires = importlib.metadata.requires("pipeserve-native") or []
    assert [line for line in requires if "extra ==" not in line] == ["numpy"], requires


def check_import() -> None:
    """The extension brings its libraries."""
    import numpy  # Beforehand: what it loads is no matter of ours.

    before = libraries()
    import pipeserve_native

    version = importlib.metadata.version("pipeserve-native")
    assert pipeserve_native.__version__ == version, (pipeserve_native.__version__, version)
    check_libraries("_core", libraries() - before)
    print(f"pipeserve-native {version}, Python {sys.version.split()[0]}, numpy {numpy.__version__}")


def program(name: str) -> str:
    """A command that the wheel installed."""
    return os.path.join(os.path.dirname(sys.executable), name)


def check_programs() -> None:
    """The command and the native program start."""
    import pipeserve_native

    agent = os.path.join(os.path.dirname(pipeserve_native.__file__), "bin", "pipeserve-agent")
    names = ("pipeserve", "pipeserve-agent", "pipeserve-ascend-check")
    for command in (*map(program, names), agent):
        done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
        assert pipeserve_native.__version__ in done.stdout, (command, done.stdout)


def check_one_process() -> None:
    """One graph, written, loaded, served and called."""
    import numpy as np

    from pipeserve_native import export, server
    from pipeserve_native.client import Client

    graph = export.Graph("double")
    x = graph.input("x", (2, 3), np.float32)
    graph.output(graph.add(x, x))
    graph.save("doubler/1/double.mindir")
    pathlib.Path("doubler/servable_config.py").write_text(CONFIG)
    server.start_servables(server.ServableStartConfig(os.getcwd(), "doubler", 0))
    server.start_grpc_server("unix:door")
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    client = Client("unix:door", "doubler", "four_times")
    (reply,) = client.infer({"x": value})
    np.testing.assert_array_equal(reply["y"], 4 * value)
    server.stop()


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Reads what a program prints until there is ``text``; fails when it ends before."""
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if text in line:
            return
    raise AssertionError(f"{process.args} did not print {text!r}, but: {''.join(printed)}")


@contextlib.contextmanager
def running(script: str) -> Iterator[subprocess.Popen[str]]:
    """A script of the demo, until the block ends."""
    command = [sys.executable, "-u", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def agents_of(launcher: int) -> list[int]:
    """The processes that a launcher started."""
    children = pathlib.Path(f"/proc/{launcher}/task").glob("*/children")
    return [int(pid) for path in children for pid in path.read_text().split()]


def check_demo() -> None:
    """Two graphs over eight ranks, by the scripts that export-demo writes."""
    subprocess.run([program("pipeserve"), "export-demo", "demo"], check=True)
    os.chdir("demo")
    with running("serving_server.py") as server, running("serving_agent.py") as launcher:
        wait_for(launcher, "Success to start agents")
        wait_for(server, "RESTful server start success")
        agents = agents_of(launcher.pid)
        assert len(agents) == 8, agents
        check_libraries("pipeserve-agent", libraries(agents[0]))
        check_predict()
    os.chdir("..")


def check_predict() -> None:
    """The demo's client, and its numbers."""
    import numpy as np

    from pipeserve_native.client import Client

    client = [sys.executable, "serving_client.py"]
    printed = subprocess.run(client, capture_output=True, text=True, check=True).stdout
    assert "-96." in printed and "-144." in printed, printed
    ones = np.ones((128, 96), np.float32)
    (reply,) = Client("localhost:5500", "matmul", "predict").infer({"x": ones, "y": ones})
    np.testing.assert_array_equal(reply["x"], np.full((128, 16), -96, np.float32))
    np.testing.assert_array_equal(reply["z"], np.full((128, 16), -144, np.float32))


def main() -> None:
    """Runs every check; the first that fails ends it."""
    for check in (check_requirements, check_import, check_programs, check_one_process, check_demo):
        check()
        print(f"ok: {check.__name__}", flush=True)


if __name__ == "__main__":
    main()
