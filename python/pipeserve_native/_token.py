"""The token that agents show to their server: from a file, or from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from pipeserve_native import _checks
from pipeserve_native._errors import NotFoundError

VARIABLE = "PIPESERVE_AGENT_TOKEN"


def read(name: str, file: str | None) -> str:
    """The token in ``file``, or else in the environment; empty when there is none.

    Args:
        name: What the parameter is called.
        file: Holds one line; None is none.

    Raises:
        InvalidArgumentError: Another type, or an empty name or file.
        NotFoundError: It cannot be read.
    """
    if file is None:
        return os.environ.get(VARIABLE, "")
    try:
        text = Path(_checks.check_str(name, file)).read_text("utf-8")
    except OSError as error:
        raise NotFoundError(f"Cannot access {name} '{file}': {error.strerror}") from error
    return _checks.check_str(f"{name} {file}", text.rstrip("\r\n"))
