"""What a worker process runs: ``python -m pipeserve_native._worker``, started by ``_workers``."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from pipeserve_native import _core, _lifetime
from pipeserve_native._registry import Binding, make_here
from pipeserve_native.server import _config

_LOGGED = ("name", "levelno", "levelname", "created", "msecs", "threadName", "process")


class _Front:
    """The pipe to the front: lines of JSON."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def tell(self, **status: Any) -> None:
        """Sends one line."""
        line = memoryview(json.dumps(status).encode() + b"\n")
        with self._lock:
            while line:
                line = line[os.write(self._fd, line) :]


class _ToFront(logging.Handler):
    """Has the front log what is logged here."""

    def __init__(self, front: _Front) -> None:
        super().__init__()
        self._front = front

    def emit(self, record: logging.LogRecord) -> None:
        """Sends the text of the record, and of its exception."""
        try:
            logged = {name: getattr(record, name) for name in _LOGGED}
            logged["msg"] = record.getMessage()
            logged["exc_text"] = (
                logging.Formatter().formatException(record.exc_info) if record.exc_info else None
            )
            self._front.tell(log=logged)
        except Exception:
            self.handleError(record)


def _ignore(signum: int, frame: object) -> None:
    """A signal for all processes of a terminal or a service is for the front to act on."""


def _leave_signals_to_front() -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which programs that a function starts would inherit.
        previous = signal.signal(signum, _ignore)
        os.register_at_fork(
            after_in_child=lambda signum=signum, handler=previous: signal.signal(signum, handler)
        )


class _Functions:
    """The functions of the config, by the keys that the front knows them by."""

    def __init__(self) -> None:
        self.by_key: dict[str, _core.HostFunction] = {}

    def make(
        self,
        key: str,
        function: Callable[..., Any],
        name: str,
        output_count: int,
        of_method: str | None,
        is_generator: bool,
    ) -> _core.HostFunction:
        """Keeps the function."""
        made = make_here(key, function, name, output_count, of_method, is_generator)
        self.by_key[key] = made
        return made


def _open(start: dict[str, Any]) -> _core.WorkerSession:
    with open(start["source_fd"], "rb") as file:
        source = file.read()
    registry = _config.load_config(start["directory"], start["servable"], start["version"], source)
    functions = _Functions()
    registry.build(start["version"], functions.make)
    session = _core.WorkerSession(start["socket_fd"], functions.by_key)
    registry.binding = Binding(session, start["version"])
    return session


def main(argument: str) -> int:
    """Runs functions until the front is gone; the exit code."""
    start = json.loads(argument)
    _leave_signals_to_front()
    for fd in (start["socket_fd"], start["status_fd"]):
        os.set_inheritable(fd, False)
    sys.path[:] = start["sys_path"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # A crash loses nothing that was printed.
    front = _Front(start["status_fd"])
    logging.basicConfig(level=start["log_level"], handlers=[_ToFront(front)])
    _lifetime.start_housekeeping()
    try:
        session = _open(start)
    except Exception as error:
        front.tell(error=str(error) or type(error).__name__)
        return 1
    front.tell(ready=True)
    session.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
