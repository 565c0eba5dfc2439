"""How long the process lives: log records of the core, and SIGINT and SIGTERM.

A signal handler runs in the middle of anything, so it takes no lock: it wakes whoever cares and
lets the main thread end. Python runs it on the main thread only, which may be about to wait for
our threads and never come to it; so the byte that the interpreter itself writes for each signal
(``signal.set_wakeup_fd``) wakes them, too.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from pipeserve_native import _core

_logger = logging.getLogger("pipeserve_native")
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_wakers: list[Callable[[], None]] = []
_previous: dict[signal.Signals, Any] = {}
_wakeup_fd: _WakeupFd | None = None

_housekeeper_lock = threading.Lock()
_housekeeper: threading.Thread | None = None


def _keep_house() -> None:
    while (work := _core.take_log_records()) is not None:
        records, dropped = work
        for level, text in records:
            _logger.log(_LEVELS[level], text.partition(" ")[2])
        if dropped:
            _logger.warning("%d log records were dropped", dropped)


def start_housekeeping() -> None:
    """Starts, once, the thread that writes the core's log records to ``logging``."""
    global _housekeeper
    with _housekeeper_lock:
        if _housekeeper is not None:
            return
        level = _logger.getEffectiveLevel()
        _core.set_log_level(next((i for i, known in enumerate(_LEVELS) if level <= known), 3))
        _housekeeper = threading.Thread(
            target=_keep_house, name="pipeserve-housekeeping", daemon=True
        )
        _housekeeper.start()


@atexit.register  # Now, so that it runs after what others register: it comes last.
def _end_housekeeping() -> None:
    _core.close_housekeeper()
    if _housekeeper is not None:
        _housekeeper.join()


def _wake_all() -> None:
    for wake in tuple(_wakers):
        wake()


def _on_signal(signum: int, frame: FrameType | None) -> None:
    _wake_all()
    if threading.main_thread().is_alive():  # Else it only waits for our threads to end.
        raise SystemExit(0)


class _WakeupFd:
    """Wakes everybody for each exit signal, whatever the main thread is doing.

    An event loop that has set a file descriptor of its own keeps it: its main thread is awake.
    """

    def __init__(self) -> None:
        read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._thread = threading.Thread(
            target=self._run, args=(read_fd,), name="pipeserve-signals", daemon=True
        )
        self._thread.start()
        former_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        if former_fd != -1:
            signal.set_wakeup_fd(former_fd)

    def _run(self, read_fd: int) -> None:
        with open(read_fd, "rb", buffering=0) as signals:
            while byte := signals.read(1):
                if byte[0] in _SIGNALS:
                    _wake_all()

    def close(self) -> None:
        """Of the main thread, like the constructor."""
        current_fd = signal.set_wakeup_fd(-1)
        if current_fd != self._write_fd:
            signal.set_wakeup_fd(current_fd)
        os.close(self._write_fd)
        self._thread.join()


def on_exit_signal(wake: Callable[[], None]) -> None:
    """From now on SIGINT and SIGTERM call ``wake`` and end the main thread with exit code 0.

    ``wake`` must be safe in a signal handler. Does nothing off the main thread, where Python
    cannot set handlers.
    """
    global _wakeup_fd
    if threading.current_thread() is not threading.main_thread():
        return
    if _wakeup_fd is None:
        _wakeup_fd = _WakeupFd()
        for signum in _SIGNALS:
            _previous[signum] = signal.signal(signum, _on_signal)
    _wakers.append(wake)


def off_exit_signal(wake: Callable[[], None]) -> None:
    """Ends ``on_exit_signal``; the last one puts the former handlers back."""
    global _wakeup_fd
    if wake in _wakers:
        _wakers.remove(wake)
    if _wakers or threading.current_thread() is not threading.main_thread():
        return
    while _previous:
        signum, handler = _previous.popitem()
        signal.signal(signum, handler)
    if _wakeup_fd is not None:
        _wakeup_fd.close()
        _wakeup_fd = None
