"""The native programs of the package."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from pipeserve_native import _core


def path_of(name: str) -> str:
    """Where a program is."""
    return os.path.join(os.path.dirname(_core.__file__), "bin", name)


def _become(name: str) -> NoReturn:
    program = path_of(name)
    os.execv(program, [program, *sys.argv[1:]])


def agent() -> NoReturn:
    """Becomes pipeserve-agent, with the arguments of this process."""
    _become("pipeserve-agent")


def ascend_check() -> NoReturn:
    """Becomes pipeserve-ascend-check, with the arguments of this process."""
    _become("pipeserve-ascend-check")
