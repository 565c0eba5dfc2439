"""Waits for several processes at once."""

from __future__ import annotations

import select
from collections.abc import Sequence


def poll(fds: Sequence[int], seconds: float | None) -> set[int]:
    """The descriptors that can be read, or have ended."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return {fd for fd, _ in poller.poll(None if seconds is None else max(seconds, 0) * 1000)}
