"""Loads the native module; the package imports this first.

Programs that have told Python to share the symbols of all modules (``sys.setdlopenflags`` with
RTLD_GLOBAL) must not share those of the libraries that come with this one: other modules bring
other versions of the same libraries.
"""

from __future__ import annotations

import os
import sys

_flags = sys.getdlopenflags()
sys.setdlopenflags(os.RTLD_NOW | os.RTLD_LOCAL)
try:
    from pipeserve_native._core import __version__
finally:
    sys.setdlopenflags(_flags)

__all__ = ["__version__"]
