"""The native programs of the package."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from pipeserve_native import _core


def path_of(name: str) -> str:
    """Where a program is."""
    return os.path.join(os.path.dirname(_core.__file__), "bin", name)


def ascend_check() -> NoReturn:
    """Becomes pipeserve-ascend-check, with the arguments of this process."""
    program = path_of("pipeserve-ascend-check")
    os.execv(program, [program, *sys.argv[1:]])
