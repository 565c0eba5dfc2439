"""The agent processes of one machine: starts them, watches them, starts them again.

Agents are programs of their own, started by exec. Each holds the reading end of a pipe whose other
end only this process has, so that it knows when its launcher is gone, however it went. Through
another pipe it says when it is ready, and from then on every now and then that it is alive.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import os
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeserve_native._errors import FailedPreconditionError
from pipeserve_native._processes import LinePipe, poll
from pipeserve_native._restarts import Restarts

_logger = logging.getLogger("pipeserve_native")

_TERMINATE_SECONDS = 10.0
_CASCADE_SECONDS = 3.0

_EXIT_DONE = 0
_EXIT_USAGE = 2
_EXIT_NO_SERVER = 4
_FINAL_EXITS = {
    _EXIT_DONE: "it was told to end",
    _EXIT_USAGE: "it was started wrongly, or without the server's token",
    _EXIT_NO_SERVER: "there is no server any more",
}


class OnFailure(enum.Enum):
    """What becomes of the others when an agent ends that was not told to."""

    RESTART = "restart"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How agents are watched."""

    on_failure: OnFailure = OnFailure.RESTART
    max_restarts: int | None = 10
    heartbeat: float = 1.0
    dead_after: float = 3.0
    give_up: Callable[[str], None]
    """Called once, with the reason, when no agent is started again."""


class _Process:
    """One agent process, and the pipes to it."""

    def __init__(
        self,
        command: Sequence[str],
        key: bytes | None,
        heartbeat: float,
        environment: Mapping[str, str],
        new_session: bool,
    ) -> None:
        with contextlib.ExitStack() as child_ends:
            own_ends = child_ends.enter_context(contextlib.ExitStack())  # Closed if it fails.
            launcher_read, self._launcher_write = os.pipe()
            status_read, status_write = os.pipe()
            for fd in (self._launcher_write, status_read):
                own_ends.callback(os.close, fd)
            passed = {"--launcher-fd": launcher_read, "--status-fd": status_write}
            if key is not None:
                key_read, key_write = os.pipe()
                os.write(key_write, key)
                os.close(key_write)
                passed["--key-fd"] = key_read
            for fd in passed.values():
                child_ends.callback(os.close, fd)
            flags = [text for flag, fd in passed.items() for text in (flag, str(fd))]
            self._process = subprocess.Popen(
                [*command, *flags, "--heartbeat-ms", str(round(heartbeat * 1000))],
                pass_fds=list(passed.values()),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
                start_new_session=new_session,
            )
            own_ends.pop_all()
        self.status = LinePipe(status_read)
        self.exit_fd = os.pidfd_open(self._process.pid)
        self.ready_since: float | None = None
        self.error: str | None = None
        """What it said when it could not start."""
        self.missed_beats = 0

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def read_status(self) -> None:
        """Takes what it has said since the last time."""
        for line in self.status.read():
            self._take(json.loads(line))

    def _take(self, status: dict[str, str]) -> None:
        self.missed_beats = 0
        if status["state"] == "ready":
            self.ready_since = time.monotonic()
        elif status["state"] == "failed":
            self.error = status["error"]

    def interrupt(self) -> None:
        """SIGINT."""
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def end(self) -> int:
        """The exit code, once it has one; closes the pipes."""
        code = self._process.wait()
        self.close()
        return code

    def close(self) -> None:
        """Closes the pipes."""
        self.status.close()
        os.close(self._launcher_write)
        os.close(self.exit_fd)


class _Seat:
    """The place of one agent, which several processes may take, one after the other."""

    def __init__(self, index: int, rank: int, command: Sequence[str], limit: int | None) -> None:
        self.index = index
        self.rank = rank
        self.command = command
        self.restarts = Restarts(limit)
        self.process: _Process | None = None
        self.due = 0.0
        """When the next process starts, while there is none."""


def _wait_exits(processes: Sequence[_Process], seconds: float) -> list[_Process]:
    """Those that still run after ``seconds``."""
    end = time.monotonic() + seconds
    running = list(processes)
    while running and (left := end - time.monotonic()) > 0:
        ready = poll([process.exit_fd for process in running], left)
        running = [process for process in running if process.exit_fd not in ready]
    return running


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


class Agents:
    """Agents that this process has started and that end together.

    Args:
        commands: Per rank the program and its arguments, but for what only this class knows.
        key: Key of encrypted model files, handed over through a pipe.
        supervision: What happens when an agent ends.
        files: What agents read; removed at the end.
        environment: Variables that agents have besides those of this process.
        new_session: A Ctrl-C at the terminal is no signal to them.
    """

    def __init__(
        self,
        commands: Mapping[int, Sequence[str]],
        key: bytes | None,
        supervision: Supervision,
        files: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        new_session: bool = False,
    ) -> None:
        self._environment = environment or {}
        self._files = list(files)
        self._key = key
        self._new_session = new_session
        self._supervision = supervision
        self._seats = [
            _Seat(index, rank, command, supervision.max_restarts)
            for index, (rank, command) in enumerate(commands.items())
        ]
        self._next_beat = time.monotonic() + supervision.heartbeat
        self._wake_read, self._wake_write = os.pipe()
        self._close_pipe = weakref.finalize(self, _close, self._wake_read, self._wake_write)
        self._close_pipe.atexit = False  # Whoever stops at exit may come later.
        self._end_lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        _all_agents.add(self)

    def _begin_in_child(self) -> None:
        """After a fork: the agents are the other process', and must see when it alone ends."""
        self._end_lock = threading.Lock()
        self._watcher = None
        seats, self._seats = self._seats, []
        self._files.clear()
        for seat in seats:
            if seat.process is not None:
                seat.process.close()
        self._close_pipe()

    def start(self) -> None:
        """Starts the processes and waits until each has loaded its graphs and registered."""
        for seat in self._seats:
            self._spawn(seat)
        waiting = {seat.process.status.fd: seat for seat in self._seats if seat.process}
        while waiting:
            for fd in poll(list(waiting), None):
                if self._has_started(waiting[fd]):
                    del waiting[fd]
        for seat in self._seats:
            _logger.info("Child %d: Receive success", seat.index)

    def _has_started(self, seat: _Seat) -> bool:
        process = seat.process
        assert process is not None
        process.read_status()
        if process.error is not None:
            raise FailedPreconditionError(
                f"Fail to start agents, rank {seat.rank}: {process.error}"
            )
        if process.ready_since is None and not process.status.is_open:
            raise FailedPreconditionError(
                f"Fail to start agents because of death of one agent, rank {seat.rank}"
            )
        return process.ready_since is not None

    def _spawn(self, seat: _Seat) -> None:
        seat.process = _Process(
            seat.command,
            self._key,
            self._supervision.heartbeat,
            self._environment,
            self._new_session,
        )

    def watch(self, *, keep_process: bool) -> None:
        """Keeps the agents running until the server stops, or wake() or stop() is called.

        With ``keep_process`` that is what the process lives for.
        """
        watcher = threading.Thread(
            target=self._watch, name="pipeserve-agents", daemon=not keep_process
        )
        watcher.start()
        self._watcher = watcher

    def wake(self) -> None:
        """Ends the agents. Safe in a signal handler."""
        with contextlib.suppress(OSError):  # Already ended.
            os.write(self._wake_write, b"x")

    def _watch(self) -> None:
        try:
            while self._watch_once():
                pass
        finally:
            self._end()

    def _watch_once(self) -> bool:
        """One turn of the watch. False: all agents are to end."""
        running = [(seat, seat.process) for seat in self._seats if seat.process is not None]
        fds = [self._wake_read, *(process.exit_fd for _, process in running)]
        fds += [process.status.fd for _, process in running if process.status.is_open]
        due = [seat.due for seat in self._seats if seat.process is None]
        ready = poll(fds, min([self._next_beat, *due]) - time.monotonic())
        if self._wake_read in ready:
            return False
        beat = self._take_beat()
        for seat, process in running:
            if process.exit_fd in ready:
                if not self._on_exit(seat, process):
                    return False
            else:
                self._look_after(seat, process, beat)
        return self._start_due()

    def _take_beat(self) -> bool:
        """Whether a heartbeat has passed. One at a time, whatever this process has slept through:
        agents that were stopped with it have missed nothing."""
        now = time.monotonic()
        if now < self._next_beat:
            return False
        self._next_beat = now + self._supervision.heartbeat
        return True

    def _look_after(self, seat: _Seat, process: _Process, beat: bool) -> None:
        """Ends a process that is there but does nothing: a stopped one, say."""
        if beat and process.ready_since is not None:
            process.missed_beats += 1  # Before reading: what it has said since counts.
        process.read_status()
        if process.missed_beats * self._supervision.heartbeat > self._supervision.dead_after:
            _logger.warning(
                "agent of rank %d gives no sign of life, killing process %d",
                seat.rank,
                process.pid,
            )
            process.missed_beats = 0
            process.kill()

    def _on_exit(self, seat: _Seat, process: _Process) -> bool:
        """False: all others are to end, too."""
        process.read_status()
        seat.process = None
        code = process.end()
        if code in _FINAL_EXITS:
            level = logging.WARNING if code else logging.INFO
            _logger.log(
                level,
                "Child %d ended with exit code %d (%s), ending its siblings",
                seat.index,
                code,
                _FINAL_EXITS[code],
            )
            return False
        if self._supervision.on_failure is OnFailure.STOP:
            _logger.warning(
                "Child %d ended with exit code %d, ending its siblings", seat.index, code
            )
            self._cascade()
            return False
        reason = f" ({process.error})" if process.error else ""
        return self._start_later(seat, f"ended with exit code {code}{reason}", process.ready_since)

    def _start_later(self, seat: _Seat, why: str, ready_since: float | None) -> bool:
        """False: it was started again too often, and all others are to end, too."""
        now = time.monotonic()
        due = seat.restarts.next(now, ready_since)
        if due is None:
            reason = f"agent of rank {seat.rank} {why} after {seat.restarts.describe_limit()}"
            _logger.error("%s, ending its siblings", reason)
            self._supervision.give_up(reason)
            return False
        seat.due = due
        _logger.warning(
            "agent of rank %d %s, starting it again in %.1f s", seat.rank, why, due - now
        )
        return True

    def _start_due(self) -> bool:
        """False: all are to end."""
        for seat in self._seats:
            if seat.process is not None or seat.due > time.monotonic():
                continue
            try:
                self._spawn(seat)
            except OSError as error:  # No process, memory or descriptor is left, say.
                if not self._start_later(seat, f"cannot be started: {error}", None):
                    return False
        return True

    def _cascade(self) -> None:
        """As in MindSpore Serving: three seconds to end by themselves, then SIGINT."""
        processes = [seat.process for seat in self._seats if seat.process is not None]
        for process in _wait_exits(processes, _CASCADE_SECONDS):
            process.interrupt()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; returns when no process is left. Idempotent.

        On the thread that watches, where a finalizer may call it, they end right after it.
        """
        watcher = self._watcher
        if watcher is None:
            self._end()
            return
        self.wake()  # Whoever watches ends them: it must not wait for what another has closed.
        if watcher is not threading.current_thread():
            watcher.join()

    def _end(self) -> None:
        with self._end_lock:
            seats, self._seats = self._seats, []
            processes = [seat.process for seat in seats if seat.process is not None]
            for process in processes:
                process.terminate()
            for process in _wait_exits(processes, _TERMINATE_SECONDS):
                _logger.warning("agent process %d does not end, killing it", process.pid)
                process.kill()
            for process in processes:
                process.end()
            while self._files:
                os.unlink(self._files.pop())


_all_agents: weakref.WeakSet[Agents] = weakref.WeakSet()


def _begin_in_child() -> None:
    for agents in list(_all_agents):
        agents._begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
