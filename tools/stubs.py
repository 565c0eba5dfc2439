#!/usr/bin/env python3
"""Compares the stub of the native module with what the built module says, or writes it.

The stub is made by pybind11-stubgen from the module that is installed beside this interpreter, and
formatted by ruff. Prints the difference; exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = "pipeserve_native._core"
STUB = ROOT / "python/pipeserve_native/_core.pyi"

# The version stands in CMakeLists.txt alone, and a method called numpy hides the module of that
# name from its class.
REPLACEMENTS = (
    (re.compile(r"^__version__: str = .*$", re.MULTILINE), "__version__: str"),
    (re.compile(r"^import numpy$", re.MULTILINE), "import numpy as np"),
    (re.compile(r"^import numpy\.typing$", re.MULTILINE), "import numpy.typing as npt"),
    (re.compile(r"\bnumpy\.typing\.(?=\w)"), "npt."),
    (re.compile(r"\bnumpy\.(?=dtype|ndarray)"), "np."),
)


def run_stubgen() -> str:
    """What pybind11-stubgen makes of the installed module."""
    with tempfile.TemporaryDirectory() as directory:
        # Run from there, so that the installed package is seen and not the sources.
        subprocess.run(
            [sys.executable, "-m", "pybind11_stubgen", "--exit-code", "-o", directory, MODULE],
            cwd=directory,
            check=True,
        )
        return Path(directory, *MODULE.split(".")).with_suffix(".pyi").read_text(encoding="utf-8")


def run_ruff(text: str, *arguments: str) -> str:
    """The text after one command of ruff."""
    ruff = Path(sysconfig.get_path("scripts"), "ruff")
    return subprocess.run(
        [ruff, *arguments, "--quiet", "--stdin-filename", STUB, "-"],
        cwd=ROOT,
        input=text,
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ).stdout


def generate() -> str:
    """The stub of the installed module, in the project's format."""
    text = run_stubgen()
    for pattern, replacement in REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return run_ruff(run_ruff(text, "check", "--fix-only"), "format")


def main() -> int:
    """Compares, or writes with --write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the stub instead")
    arguments = parser.parse_args()
    wanted = generate()
    if arguments.write:
        STUB.write_text(wanted, encoding="utf-8")
        return 0
    found = STUB.read_text(encoding="utf-8")
    if found == wanted:
        return 0
    name = str(STUB.relative_to(ROOT))
    sys.stdout.writelines(
        difflib.unified_diff(
            found.splitlines(keepends=True), wanted.splitlines(keepends=True), name, "the module"
        )
    )
    print(f"{name} does not say what the module does: run `make stubs` and commit the file")
    return 1


if __name__ == "__main__":
    sys.exit(main())
