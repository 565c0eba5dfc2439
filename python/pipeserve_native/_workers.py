"""The worker processes of a servable: starts them, watches them, starts them again.

A worker is a Python of its own, started by exec, that imports ``servable_config.py`` and runs its
functions. It talks to the core of this process through a socket; through a pipe it says when it is
ready, and what it logs.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeserve_native import _core
from pipeserve_native._errors import FailedPreconditionError, UnavailableError
from pipeserve_native._processes import LinePipe, poll
from pipeserve_native._restarts import Restarts

_logger = logging.getLogger("pipeserve_native")

_READ_SIZE = 64
_END_SECONDS = 10.0
"""A worker that has not ended by itself so long after its connection did is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How many workers a servable has, and how they are watched."""

    count: int = 0
    """0: its functions run in this process."""
    grace: float = 5.0
    """A worker that has not come back so long after its request was given up is killed."""


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _log(logged: dict[str, Any]) -> None:
    """Logs here what a worker has logged. Raises when it is no record."""
    record = logging.makeLogRecord(
        {
            "name": str(logged["name"]),
            "levelno": int(logged["levelno"]),
            "levelname": str(logged["levelname"]),
            "created": float(logged["created"]),
            "msecs": float(logged["msecs"]),
            "threadName": str(logged["threadName"]),
            "process": int(logged["process"]),
            "msg": str(logged["msg"]),
            "exc_text": None if logged["exc_text"] is None else str(logged["exc_text"]),
        }
    )
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _in_memory(content: bytes) -> int:
    """A descriptor of a file with that content, which is nowhere else."""
    fd = os.memfd_create("servable_config.py")
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class _Process:
    """One worker process, its socket and its pipe."""

    def __init__(self, directory: str, servable: str, version: int, source: bytes) -> None:
        self.socket, workers_socket = socket.socketpair()
        status_read, status_write = os.pipe()
        source_fd = _in_memory(source)
        start = {
            "directory": directory,
            "servable": servable,
            "version": version,
            "socket_fd": workers_socket.fileno(),
            "status_fd": status_write,
            "source_fd": source_fd,
            "sys_path": [str(path) for path in sys.path],
            "log_level": min(logging.getLogger().level, _logger.getEffectiveLevel()),
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeserve_native._worker", json.dumps(start)],
                pass_fds=(workers_socket.fileno(), status_write, source_fd),
                stdin=subprocess.DEVNULL,
            )
        except OSError:
            self.socket.close()
            os.close(status_read)
            raise
        finally:
            workers_socket.close()
            os.close(status_write)
            os.close(source_fd)
        self.status = LinePipe(status_read)
        self.exit_fd = os.pidfd_open(self._process.pid)
        self.ready_since: float | None = None
        self.error: str | None = None
        """What it said when it could not start."""
        self.number: int | None = None
        """In the pool, once it is ready."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def read_status(self) -> None:
        """Takes what it has said since the last time."""
        for line in self.status.read():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            status = json.loads(line)
            if "log" in status:
                _log(status["log"])
            elif "error" in status:
                self.error = str(status["error"])
            else:
                self.ready_since = time.monotonic()
        except (ValueError, TypeError, KeyError, RecursionError):
            # A function in it has written to what is not its own, say.
            _logger.warning("worker process %d says %r, killing it", self.pid, line[:80])
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def end(self) -> str:
        """How it ended, once it has; closes what is still open."""
        code = self._process.wait()
        self.read_status()
        self.socket.close()
        self.status.close()
        os.close(self.exit_fd)
        return _describe(code)


@dataclass(slots=True)
class _Seat:
    """The place of one worker, which several processes may take, one after the other."""

    restarts: Restarts = field(default_factory=lambda: Restarts(None))
    process: _Process | None = None
    due: float = 0.0
    """When the next process starts, while there is none."""


class Workers:
    """The workers of one servable, from start() to end().

    Args:
        server: Runs the methods that their functions call.
        directory: The directory that holds the servable's.
        servable: Name of the servable.
        version: Its version.
        source: What its config is; its file may change meanwhile.
        options: How many there are.
    """

    def __init__(
        self,
        server: _core.Server,
        directory: str,
        servable: str,
        version: int,
        source: bytes,
        options: WorkerOptions,
    ) -> None:
        self._place = (directory, servable, version, source)
        self._pool = _core.WorkerPool(
            server=server, servable=servable, version=version, grace=options.grace
        )
        self._seats = [_Seat() for _ in range(options.count)]
        self._started: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        """One item for each worker of the beginning: why it did not start."""
        self._starting = options.count
        self._closing = False
        self._end_by: float | None = None
        self._wake_read, self._wake_write = os.pipe()
        # Processes are started by this thread alone, one after the other.
        self._watcher = threading.Thread(target=self._watch, name="pipeserve-workers")

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._seats)

    def function(
        self,
        key: str,
        function: Callable[..., Any],
        name: str,
        output_count: int,
        of_method: str | None,
        is_generator: bool,
    ) -> _core.HostFunction:
        """The function of the workers that stands for ``function`` of this process."""
        return self._pool.function(key, name, of_method or "")

    def start(self) -> None:
        """Returns when all of them are ready. Raises when one does not start."""
        self._watcher.start()
        for _ in self._seats:
            error = self._started.get()
            if error is not None:
                raise FailedPreconditionError(
                    f"a worker process of servable {self._place[1]} did not start: {error}"
                )

    def close(self) -> None:
        """No worker is started any more; those that run go on."""
        self._closing = True
        self._pool.close()
        os.write(self._wake_write, b"x")

    def end(self) -> None:
        """Ends the workers, which no request may need any more; returns when none is left."""
        self._end_by = time.monotonic() + _END_SECONDS
        self._closing = True
        self._pool.close()
        self._pool.end_workers()
        os.write(self._wake_write, b"x")
        if self._watcher.ident is not None:  # It has been started.
            self._watcher.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _watch(self) -> None:
        while self._watch_once():
            pass

    def _watch_once(self) -> bool:
        """One turn of the watch. False: none is left, and none is to be started."""
        now = time.monotonic()
        for seat in self._seats:
            if seat.process is None and not self._closing and seat.due <= now:
                self._spawn(seat)
        running = [(seat, seat.process) for seat in self._seats if seat.process is not None]
        if self._end_by is not None and not running:
            return False
        ready = poll(self._fds(running), self._patience(now))
        if self._wake_read in ready:
            os.read(self._wake_read, _READ_SIZE)
        for seat, process in running:
            process.read_status()
            if process.exit_fd in ready:
                self._on_exit(seat, process)
            else:
                self._look_after(process)
        return True

    def _fds(self, running: list[tuple[_Seat, _Process]]) -> list[int]:
        fds = [self._wake_read, *(process.exit_fd for _, process in running)]
        return fds + [process.status.fd for _, process in running if process.status.is_open]

    def _patience(self, now: float) -> float | None:
        """Seconds until there is something to do by itself."""
        if self._end_by is not None:
            return self._end_by - now if self._end_by > now else _END_SECONDS
        due = [seat.due for seat in self._seats if seat.process is None and not self._closing]
        return min(due) - now if due else None

    def _spawn(self, seat: _Seat) -> None:
        try:
            seat.process = _Process(*self._place)
        except OSError as error:
            self._on_failure(seat, f"cannot be started: {error}", None)

    def _look_after(self, process: _Process) -> None:
        if process.ready_since is not None and process.number is None and not self._closing:
            self._hand_over(process)
        if self._end_by is not None and time.monotonic() >= self._end_by:
            _logger.warning("worker process %d does not end, killing it", process.pid)
            process.kill()
        elif self._closing and process.number is None:
            process.kill()  # It is not needed any more before it was ready.

    def _hand_over(self, process: _Process) -> None:
        """The worker is ready: requests may take it."""
        try:
            process.number = self._pool.add(process.socket.detach(), os.dup(process.exit_fd))
        except UnavailableError:  # Closed meanwhile.
            process.kill()
        self._has_started(None)

    def _on_exit(self, seat: _Seat, process: _Process) -> None:
        seat.process = None
        how = process.end()
        if process.number is not None:
            self._pool.remove(process.number, how)
        if process.error is not None:
            how = f"{how} ({process.error})"
        self._on_failure(seat, f"(process {process.pid}) {how}", process.ready_since)

    def _on_failure(self, seat: _Seat, what: str, ready_since: float | None) -> None:
        if self._starting > 0:
            self._has_started(what)
            seat.due = float("inf")
            return
        if self._closing:
            return
        now = time.monotonic()
        due = seat.restarts.next(now, ready_since)
        assert due is not None  # There is no limit.
        seat.due = due
        _logger.warning(
            "worker of servable %s %s, starting it again in %.1f s",
            self._place[1],
            what,
            due - now,
        )

    def _has_started(self, error: str | None) -> None:
        if self._starting > 0:
            self._starting -= 1
            self._started.put(error)
