"""Installs a wheel, offline, into an empty virtual environment and runs smoke.py in it.

python install_and_smoke.py WHEEL WHEELHOUSE [--host]

Uses the standard library alone. Unless it runs on a developer's machine (--host), it first makes
sure that there is neither a compiler nor a library of Debian's that could stand in for the wheel's.
"""

from __future__ import annotations

import argparse
import glob
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

COMPILERS = ("cc", "gcc", "c++", "g++", "clang", "cmake", "ld")
LIBRARIES = ("libgrpc", "libgpr", "libprotobuf", "libabsl_", "libgloo", "libre2", "libpipeserve")
SECONDS = 300
SMOKE = pathlib.Path(__file__).with_name("smoke.py")


def check_that_it_is_clean() -> None:
    """Exits when something is there that a user's machine may lack."""
    present = [program for program in COMPILERS if shutil.which(program)]
    for library in LIBRARIES:
        present += glob.glob(f"/usr/lib/**/{library}*", recursive=True)
    if present:
        sys.exit(f"not a clean root, it has {', '.join(present)}")


def install(wheel: str, wheelhouse: str, folder: str) -> str:
    """The Python of a new environment that has the wheel."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = os.path.join(folder, "bin", "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-index", "--find-links", wheelhouse]
    subprocess.run([*pip, "install", "-q", *offline, wheel], check=True)
    subprocess.run([*pip, "check"], check=True)
    return python


def main() -> None:
    """Exits with the code of smoke.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel")
    parser.add_argument("wheelhouse")
    parser.add_argument("--host", action="store_true")
    args = parser.parse_args()
    if not args.host:
        check_that_it_is_clean()
    with tempfile.TemporaryDirectory() as folder:
        python = install(args.wheel, args.wheelhouse, os.path.join(folder, "venv"))
        work = os.path.join(folder, "work")
        os.mkdir(work)
        smoke = [python, str(SMOKE)]
        sys.exit(subprocess.run(smoke, cwd=work, timeout=SECONDS, check=False).returncode)


if __name__ == "__main__":
    main()
