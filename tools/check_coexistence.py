"""Tries the wheel in one process with PyPI's grpcio, protobuf, numpy and torch.

Every order of import has a process of its own, with the symbols of the modules private and then
shared; tests/coexistence/use_together.py uses each module there. Their environment is below
build/coexistence and is kept. Where PyPI has no torch, the output says so and the rest is tried.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

from build_wheels import ROOT, Interpreter, find_interpreters

EXAMPLE = """example:
  tools/check_coexistence.py --torch torch==2.13.0
"""
WORK = ROOT / "build" / "coexistence"
SCRIPT = ROOT / "tests" / "coexistence" / "use_together.py"
SECONDS = 180


def pip(python: pathlib.Path, *arguments: str) -> bool:
    """Whether pip did it."""
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def environment(interpreter: Interpreter) -> pathlib.Path:
    """The Python of an environment with what everybody installs from PyPI."""
    folder = WORK / interpreter.abi
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([interpreter.executable, "-m", "venv", "--clear", folder], check=True)
        if not pip(python, "numpy", "grpcio", "grpcio-tools", "protobuf"):
            sys.exit("check_coexistence.py: grpcio, grpcio-tools and protobuf cannot be installed")
        (folder / "ready").touch()
    return python


def install_wheel(python: pathlib.Path, version: tuple[int, int]) -> None:
    """The wheel of dist/ for that Python."""
    wheels = list((ROOT / "dist").glob(f"*-cp{version[0]}{version[1]}-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"check_coexistence.py: no wheel for Python {version} in dist/: run make wheel")
    if not pip(python, "--force-reinstall", "--no-deps", str(wheels[0])):
        sys.exit(f"check_coexistence.py: {wheels[0]} cannot be installed")


def write_protocol(python: pathlib.Path, folder: pathlib.Path) -> None:
    """The module of the messages, for protobuf."""
    protoc = [
        str(python),
        "-m",
        "grpc_tools.protoc",
        f"-I{ROOT / 'proto'}",
        f"--python_out={folder}",
    ]
    subprocess.run([*protoc, "ms_service.proto"], check=True)


def runs(modules: list[str]) -> Iterator[list[str]]:
    """The arguments of every process."""
    for order in itertools.permutations(modules):
        yield list(order)
        yield ["--global", *order]


def try_in(folder: pathlib.Path, python: pathlib.Path, arguments: list[str]) -> bool:
    """Whether the modules work in this order."""
    command = [str(python), str(SCRIPT), *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=SECONDS, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"FAILED {' '.join(arguments)}: not done after {SECONDS} s", flush=True)
        return False
    works = done.returncode == 0 and "used:" in done.stdout
    said = "" if works else f"\n{done.stdout}{done.stderr}"
    print(f"{'ok' if works else 'FAILED'} {' '.join(arguments)}{said}", flush=True)
    return works


def main() -> None:
    """Exits with 1 when an order fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", help="a CPython (default: that of this program)")
    parser.add_argument("--torch", default="torch==2.13.0", help="what pip installs; '' for none")
    args = parser.parse_args()
    (interpreter,) = find_interpreters([args.python or sys.executable])
    python = environment(interpreter)
    install_wheel(python, interpreter.version)
    modules = ["grpc", "tools", "pipeserve"]  # The tools import protobuf.
    if args.torch and pip(python, args.torch):
        modules.append("torch")  # It imports numpy.
    else:
        reason = f"{args.torch} cannot be installed" if args.torch else "it is not wanted"
        print(f"NO TORCH: {reason}; the other modules are tried", flush=True)
        modules.append("numpy")
    folder = WORK / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_protocol(python, folder)
    results = [try_in(folder, python, arguments) for arguments in runs(modules)]
    if not all(results):
        sys.exit(f"check_coexistence.py: {results.count(False)} orders do not work")
    print(f"{len(results)} orders work", flush=True)


if __name__ == "__main__":
    main()
