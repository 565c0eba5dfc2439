"""How long the process lives: log records of the core, and SIGINT and SIGTERM.

Python runs a signal handler when its main thread next runs bytecode, which one that is just about
to wait for other threads may never do. So whoever cares is woken by a thread that reads the signals
from a pipe, which is written to at once. The handler only ends the main thread.
"""

from __future__ import annotations

import atexit
import contextlib
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
_wakers_lock = threading.RLock()  # A signal may come while the main thread has it.
_previous: dict[signal.Signals, Any] = {}
_previous_fd = -1
_signal_pipe: tuple[int, int] | None = None

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


def _begin_in_child() -> None:
    """After a fork: neither our threads nor the former process' signals are this one's."""
    global _housekeeper, _housekeeper_lock, _signal_pipe, _wakers_lock
    _housekeeper_lock = threading.Lock()
    _wakers_lock = threading.RLock()
    _housekeeper = None
    _wakers.clear()
    _put_handlers_back()
    if _signal_pipe is not None:  # Else signals of this process would end the former one.
        for fd in _signal_pipe:
            os.close(fd)
        _signal_pipe = None


os.register_at_fork(after_in_child=_begin_in_child)


def announce(text: str) -> None:
    """A line for whoever started this by hand. A full disk is no reason not to serve."""
    try:
        print(text, flush=True)
    except OSError as error:
        _logger.warning("cannot write to standard output: %s", error)


def _waits_for_threads(frame: FrameType | None) -> bool:
    """The main thread has done its work and waits for ours to end."""
    shutdown = threading._shutdown.__code__  # type: ignore[attr-defined]
    while frame is not None:
        if frame.f_code is shutdown:
            return True
        frame = frame.f_back
    return not threading.main_thread().is_alive()


def _on_signal(signum: int, frame: FrameType | None) -> None:
    if not _waits_for_threads(frame):
        raise SystemExit(0)


def _read_signals(fd: int) -> None:
    while data := os.read(fd, 64):
        if _previous_fd != -1:
            with contextlib.suppress(OSError):
                os.write(_previous_fd, data)
        if any(signum in data for signum in _SIGNALS):
            with _wakers_lock:
                wakers = tuple(_wakers)
            for wake in wakers:
                wake()


def _write_signals_to_pipe() -> None:
    global _previous_fd, _signal_pipe
    if _signal_pipe is None:
        _signal_pipe = os.pipe()
        os.set_blocking(_signal_pipe[1], False)
        threading.Thread(
            target=_read_signals, args=(_signal_pipe[0],), name="pipeserve-signals", daemon=True
        ).start()
    _previous_fd = signal.set_wakeup_fd(_signal_pipe[1], warn_on_full_buffer=False)


def on_exit_signal(wake: Callable[[], None]) -> None:
    """From now on SIGINT and SIGTERM call ``wake`` and end the main thread with exit code 0.

    ``wake`` is called on another thread. Does nothing off the main thread, where Python cannot set
    handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if not _previous:  # They stay when the last waker goes off the main thread.
        for signum in _SIGNALS:
            _previous[signum] = signal.signal(signum, _on_signal)
        _write_signals_to_pipe()
    with _wakers_lock:
        _wakers.append(wake)


def off_exit_signal(wake: Callable[[], None]) -> None:
    """Ends ``on_exit_signal``; the last one puts the former handlers back."""
    with _wakers_lock:
        if wake in _wakers:
            _wakers.remove(wake)
        last = not _wakers
    if last and threading.current_thread() is threading.main_thread():
        _put_handlers_back()


def _put_handlers_back() -> None:
    if _previous:
        signal.set_wakeup_fd(_previous_fd)
    while _previous:
        signum, handler = _previous.popitem()
        signal.signal(signum, handler)
