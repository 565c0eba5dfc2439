"""Proves that the wheels of dist/ install and serve where there is nothing but Python.

Each wheel is installed, offline, into an empty virtual environment of a clean Debian root and runs
tests/wheel/smoke.py there. Where no release has the wheel's Python, a root sees this machine's
interpreter, read-only. Where no root can be made, a stripped environment of this machine stands in,
and the output says so.
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import build_wheels
from build_wheels import ROOT, Interpreter
from clean_root import (
    CleanRoot,
    NoCleanRoot,
    can_run_alone,
    clean_environment,
    make_root,
    run_alone,
)

EXAMPLE = """example:
  tools/check_wheels.py --release bookworm --release trixie dist/*.whl
"""
RELEASES = ("bookworm", "trixie")
HOST_RELEASE = "bookworm"  # Whose libraries this machine's interpreters need.
SMOKE = ROOT / "tests" / "wheel"
WHEELHOUSE = ROOT / "build" / "wheelhouse"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel, and the Python it is for."""

    path: pathlib.Path
    version: tuple[int, int]

    @staticmethod
    def at(path: pathlib.Path) -> Wheel:
        """Reads the tag ``cp3NN`` of a wheel's name."""
        tag = path.name.split("-")[2]
        if not path.is_file() or not tag.startswith("cp3"):
            sys.exit(f"check_wheels.py: {path} is no wheel of CPython 3")
        return Wheel(path.resolve(), (3, int(tag.removeprefix("cp3"))))


def find_interpreter(wheel: Wheel, interpreters: Sequence[Interpreter]) -> Interpreter:
    """This machine's interpreter for the wheel."""
    for interpreter in interpreters:
        if interpreter.version == wheel.version:
            return interpreter
    sys.exit(f"check_wheels.py: no Python {wheel.version} at hand for {wheel.path.name}")


def download_requirements(version: tuple[int, int]) -> None:
    """Puts numpy for that Python into the wheelhouse."""
    number = ".".join(map(str, version))
    tag = f"cp{version[0]}{version[1]}"
    if any(WHEELHOUSE.glob(f"numpy-*-{tag}-*.whl")):
        return
    pip = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--no-deps"]
    platforms = ["--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64"]
    python = [f"--python-version={number}", "--implementation=cp", f"--abi={tag}"]
    subprocess.run([*pip, *platforms, *python, "-d", WHEELHOUSE, "numpy"], check=True)


def smoke_command(python: str, wheel: Wheel) -> list[str]:
    """Installs the wheel into a new environment and tries it."""
    script = SMOKE / "install_and_smoke.py"
    return [python, str(script), str(wheel.path), str(WHEELHOUSE)]


def check_in_root(wheel: Wheel, root: CleanRoot, interpreter: Interpreter | None) -> bool:
    """Whether the wheel works in the root, with its Python or an interpreter of this machine."""
    see = [wheel.path.parent, WHEELHOUSE, SMOKE]
    python = root.python()
    if interpreter:
        see.append(interpreter.prefix)
        python = interpreter.executable
    print(f"-- {wheel.path.name} in a clean root of Debian {root.release}, {python}", flush=True)
    return root.run(smoke_command(python, wheel), see) == 0


def check_stripped(wheel: Wheel, interpreter: Interpreter) -> bool:
    """Whether the wheel works on this machine with an empty environment."""
    python = interpreter.executable
    print(f"-- {wheel.path.name} in a stripped environment of this machine, {python}", flush=True)
    command = [*clean_environment(), *smoke_command(python, wheel), "--host"]
    if can_run_alone():  # Else the demo's ports must be free.
        lines = ["mount -t proc proc /proc", "ip link set lo up"]
        return run_alone([*lines, shlex.join(["exec", *command])]) == 0
    return subprocess.run(command, check=False).returncode == 0


def check(wheel: Wheel, roots: Sequence[CleanRoot], interpreters: Sequence[Interpreter]) -> bool:
    """Whether the wheel works wherever it can be tried: at least in one place."""
    own = [root for root in roots if root.python_version() == wheel.version]
    results = [check_in_root(wheel, root, None) for root in own]
    if not results:
        interpreter = find_interpreter(wheel, interpreters)
        # One of /usr cannot be lent to a root that has a /usr of its own.
        host = [root for root in roots if root.release == HOST_RELEASE]
        if host and interpreter.prefix != pathlib.Path("/usr"):
            results.append(check_in_root(wheel, host[0], interpreter))
        else:
            results.append(check_stripped(wheel, interpreter))
    return all(results)


def make_roots(releases: Sequence[str], folder: pathlib.Path) -> list[CleanRoot]:
    """The roots; none, said plainly, where they cannot be made."""
    try:
        return [make_root(release, folder) for release in releases]
    except NoCleanRoot as reason:
        print(f"NO CLEAN ROOT: {reason}; a stripped environment stands in", flush=True)
        return []


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", nargs="*", type=pathlib.Path, help="default: all of dist/")
    parser.add_argument("--release", action="append", help=f"of Debian (default: {RELEASES})")
    parser.add_argument("--roots", type=pathlib.Path, default=ROOT / "build" / "roots")
    parser.add_argument("--stripped", action="store_true", help="no root, in any case")
    return parser.parse_args()


def main() -> None:
    """Checks each wheel wherever it should run; exits with 1 when one does not."""
    args = parse_arguments()
    wheels = [Wheel.at(path) for path in args.wheel or sorted((ROOT / "dist").glob("*.whl"))]
    if not wheels:
        sys.exit("check_wheels.py: no wheel in dist/: run make wheel")
    WHEELHOUSE.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        download_requirements(wheel.version)
    interpreters = build_wheels.find_interpreters(())
    roots = [] if args.stripped else make_roots(args.release or RELEASES, args.roots.resolve())
    failed = [wheel.path.name for wheel in wheels if not check(wheel, roots, interpreters)]
    if failed:
        sys.exit(f"check_wheels.py: these do not work: {', '.join(failed)}")
    print(f"{len(wheels)} wheels work", flush=True)


if __name__ == "__main__":
    main()
