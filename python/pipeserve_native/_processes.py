"""What those who watch several processes share."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator, Sequence

_READ_SIZE = 65_536
_LONGEST_LINE = 1 << 24


def poll(fds: Sequence[int], seconds: float | None) -> set[int]:
    """The descriptors that can be read, or have ended."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return {fd for fd, _ in poller.poll(None if seconds is None else max(seconds, 0) * 1000)}


class LinePipe:
    """The reading end of a pipe through which a process speaks in lines."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.is_open = True
        """Whether the process still has its end."""
        self._rest = b""

    def read(self) -> Iterator[bytes]:
        """The lines that have come since the last time, without waiting for more.

        One of more than 16 MiB comes in pieces.
        """
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, _READ_SIZE):
                *lines, self._rest = (self._rest + data).split(b"\n")
                yield from lines
                if len(self._rest) > _LONGEST_LINE:
                    piece, self._rest = self._rest, b""
                    yield piece
            self.is_open = False

    def close(self) -> None:
        """Closes it."""
        os.close(self.fd)
