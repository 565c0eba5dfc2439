"""How long the process lives: log records of the core, and SIGINT and SIGTERM.

A signal handler runs in the middle of anything, so it takes no lock: it wakes whoever cares and
lets the main thread end.
"""

from __future__ import annotations

import atexit
import logging
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


def _on_signal(signum: int, frame: FrameType | None) -> None:
    for wake in _wakers:
        wake()
    if threading.main_thread().is_alive():  # Else it only waits for our threads to end.
        raise SystemExit(0)


def on_exit_signal(wake: Callable[[], None]) -> None:
    """From now on SIGINT and SIGTERM call ``wake`` and end the main thread with exit code 0.

    ``wake`` must be safe in a signal handler. Does nothing off the main thread, where Python
    cannot set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if not _wakers:
        for signum in _SIGNALS:
            _previous[signum] = signal.signal(signum, _on_signal)
    _wakers.append(wake)


def off_exit_signal(wake: Callable[[], None]) -> None:
    """Ends ``on_exit_signal``; the last one puts the former handlers back."""
    if wake in _wakers:
        _wakers.remove(wake)
    if _wakers or threading.current_thread() is not threading.main_thread():
        return
    while _previous:
        signum, handler = _previous.popitem()
        signal.signal(signum, handler)
