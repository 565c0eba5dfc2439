"""The one server of this process and the thread that keeps the process alive for it."""

from __future__ import annotations

import atexit
import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from pipeserve_native import _checks, _core, _lifetime
from pipeserve_native._errors import UnavailableError

if TYPE_CHECKING:
    from pipeserve_native.server._versions import Launch, Running

_Params = ParamSpec("_Params")


class _KeepAlive:
    """A thread that ends with stop() or a signal, and until then keeps the process alive."""

    def __init__(self, on_signal: Callable[[], None]) -> None:
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._signalled = functools.partial(self._wake.put, True)
        self._on_signal = on_signal
        self._thread = threading.Thread(target=self._run, name="pipeserve-keep-alive")
        self._thread.start()
        _lifetime.on_exit_signal(self._signalled)

    def _run(self) -> None:
        if self._wake.get():
            self._on_signal()

    def wake(self) -> None:
        """Ends it as a signal would."""
        self._signalled()

    def end(self) -> None:
        _lifetime.off_exit_signal(self._signalled)
        if threading.current_thread() is not self._thread:
            self._wake.put(False)
            self._thread.join()


class ServerState:
    """Creates the server when it is first needed; stop() makes way for a new one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stopping = threading.RLock()  # Held by whoever stops, before _lock.
        self._server: _core.Server | None = None
        self._running: list[Running] = []
        self.launches: dict[str, Launch] = {}
        """By servable: how the version was started that requests come to."""
        self.previous: dict[str, tuple[Launch, int]] = {}
        """By servable: the version that requests came to before the last switch."""
        self._keep_alive: _KeepAlive | None = None
        self._drain_seconds = 30.0
        self._max_inflight = 4
        self._max_enqueued_requests = 10_000
        self._max_enqueued_bytes = 1 << 30
        self._max_request_seconds = 0.0
        atexit.register(self.stop)
        os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin_in_child(self) -> None:
        """After a fork: the server is the other process', and its threads may hold the locks."""
        self._lock = threading.RLock()
        self._stopping = threading.RLock()
        self._server = None
        self._running = []
        self.launches = {}
        self.previous = {}
        self._keep_alive = None

    @property
    def server(self) -> _core.Server:
        """The running server."""
        with self._lock:
            if self._server is None:
                _lifetime.start_housekeeping()
                self._server = _core.Server(
                    max_inflight=self._max_inflight,
                    max_enqueued_requests=self._max_enqueued_requests,
                    max_enqueued_bytes=self._max_enqueued_bytes,
                    max_request_seconds=self._max_request_seconds,
                )
            return self._server

    def current(self) -> _core.Server:
        """The running server; raises when there is none."""
        with self._lock:
            if self._server is None:
                raise UnavailableError("no server runs in this process")
            return self._server

    def configure(
        self,
        max_inflight: int,
        max_enqueued_bytes: int,
        max_request_seconds: float | None,
        drain_seconds: float,
    ) -> None:
        """Options of the next server. All or, when one is wrong, none."""
        inflight = _checks.check_int("max_inflight", max_inflight, 1, 1024)
        enqueued = _checks.check_int("max_enqueued_bytes", max_enqueued_bytes, 1, 1 << 62)
        seconds = _checks.check_seconds("max_request_seconds", max_request_seconds)
        drain = _checks.check_wait("drain_seconds", drain_seconds)
        with self._lock:
            self._max_inflight = inflight
            self._max_enqueued_bytes = enqueued
            self._max_request_seconds = seconds
            self._drain_seconds = drain

    def set_max_enqueued_requests(self, limit: int) -> None:
        """Takes effect at once."""
        _checks.check_int("max_enqueued_requests", limit, 1)
        with self._lock:
            self._max_enqueued_requests = limit
            if self._server is not None:
                self._server.set_max_enqueued_requests(limit)

    def add(self, running: Running, server: _core.Server) -> None:
        """It ends with stop(), unless somebody discards and ends it before.

        Raises when ``server`` has been stopped meanwhile.
        """
        with self._lock:
            if server is not self._server:
                raise UnavailableError("the server has been stopped")
            self._running.append(running)

    def discard(self, running: Running) -> bool:
        """Whether it is for the caller to end it now."""
        with self._lock:
            if running not in self._running:
                return False
            self._running.remove(running)
            return True

    def running(self) -> list[Running]:
        """All versions of all servables, in the order in which they were started."""
        with self._lock:
            return list(self._running)

    def find(self, name: str, version: int | None = None) -> Running | None:
        """A version of a servable, or the one that was started last."""
        for running in reversed(self.running()):
            if running.launch.name == name and version in (None, running.version):
                return running
        return None

    def stop_soon(self) -> None:
        """As a signal would: stop() on the thread that keeps the process alive. From any thread."""
        self.keep_alive()
        with self._lock:
            keep_alive = self._keep_alive
        if keep_alive is not None:
            keep_alive.wake()

    def keep_alive(self) -> None:
        """From now on the process lives until stop(), SIGINT or SIGTERM."""
        with self._lock:
            if self._keep_alive is None:
                self._keep_alive = _KeepAlive(self.stop)

    def stop(self) -> None:
        """Answers what is in flight and closes everything. Idempotent.

        A second caller waits for the first: at exit the interpreter must not go before the core.
        """
        with self._stopping:
            with self._lock:
                server, self._server = self._server, None
                running, self._running = self._running, []
                self.launches, self.previous = {}, {}
                keep_alive, self._keep_alive = self._keep_alive, None
            if server is not None:
                server.drain(self._drain_seconds)
            for each in running:
                each.close()
            if server is not None:
                server.stop()
            for each in running:
                each.end()
        if keep_alive is not None:
            keep_alive.end()


STATE = ServerState()


def stop_on_exception(function: Callable[_Params, None]) -> Callable[_Params, None]:
    """What a start function does when it fails, or is interrupted: stop() and raise again."""

    @functools.wraps(function)
    def start(*args: _Params.args, **kwargs: _Params.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except BaseException:
            STATE.stop()
            raise
        STATE.keep_alive()

    return start
