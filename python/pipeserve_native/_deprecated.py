"""Old names that still work, with a warning."""

from __future__ import annotations

import logging

_logger = logging.getLogger("pipeserve_native")


def warn(old: str, new: str) -> None:
    """Says once per call that ``old`` has a successor."""
    _logger.warning("'%s' is deprecated from version 1.3.0, use '%s' instead", old, new)
