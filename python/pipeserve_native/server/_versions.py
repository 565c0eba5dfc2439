"""How one version of a servable in this process's server replaces another.

Each version is a whole: the functions of its config, its graphs, its agents and workers. A new one
is loaded and warmed up beside the old one; then the core leads all new requests to it at once, and
the old one ends when the requests that it has are answered.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeserve_native import _core
from pipeserve_native._errors import (
    AlreadyExistsError,
    Error,
    FailedPreconditionError,
    NotFoundError,
)
from pipeserve_native._registry import Registry
from pipeserve_native._workers import WorkerOptions, Workers
from pipeserve_native.server import _config
from pipeserve_native.server._state import STATE

_logger = logging.getLogger("pipeserve_native")


@dataclass(frozen=True, slots=True)
class Launch(ABC):
    """How a servable is started: its other versions are, too, unless somebody wants it otherwise.

    Attributes:
        directory: The directory that holds the servable's.
        name: Its name.
        workers: The processes that run its functions.
    """

    directory: str
    name: str
    workers: WorkerOptions

    @abstractmethod
    def resolve(self, version: int) -> int:
        """The version to start; 0 is for the launch to say."""

    @abstractmethod
    def load(self, server: _core.Server, running: Running, on_request_only: bool) -> None:
        """Loads it; returns when it can be called."""


@dataclass(slots=True, eq=False)
class Running:
    """A version of a servable in the server."""

    launch: Launch
    version: int
    registry: Registry
    beside: bool
    """It is to take the place of another one."""
    workers: Workers | None = None
    is_loading: bool = True
    """Until it can be called."""

    def start_workers(self, server: _core.Server) -> None:
        """Those that the launch wants."""
        if self.launch.workers.count == 0:
            return
        self.workers = Workers(
            server,
            self.launch.directory,
            self.launch.name,
            self.version,
            self.registry.source,
            self.launch.workers,
        )
        self.workers.start()

    def close(self) -> None:
        """No worker is started any more."""
        if self.workers is not None:
            self.workers.close()

    def end(self) -> None:
        """After its end in the server."""
        if self.workers is not None:
            self.workers.end()
        self.registry.end()


class _Operation:
    """What is being done to versions: one thing at a time, so that what it finds stays so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._what = ""
        os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin_in_child(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self, what: str) -> Iterator[_core.Server]:
        """The server while it is done. Raises at once when something else is being done."""
        if not self._lock.acquire(blocking=False):
            raise FailedPreconditionError(
                f"not now: {self._what} is still going on. A version that is being loaded can be "
                "unloaded"
            )
        try:
            self._what = what
            yield STATE.current()
        finally:
            self._lock.release()


_operation = _Operation()


def start(launch: Launch, version: int, server: _core.Server, *, beside: bool = False) -> Running:
    """Loads a version. Whoever finds it in STATE after a failure ends it."""
    registry = _config.load_config(launch.directory, launch.name, version)
    running = Running(launch, version, registry, beside)
    STATE.add(running, server)
    if not beside:
        STATE.launches[launch.name] = launch
    running.start_workers(server)
    launch.load(server, running, beside)
    running.is_loading = False
    return running


def status() -> dict[str, Any]:
    """See ``server.status``."""
    state: dict[str, Any] = json.loads(STATE.current().state_as_json())
    return state


def load(
    name: str,
    version: int,
    change: Callable[[Launch], Launch],
    *,
    switch: bool,
    keep_previous: bool,
    drain: float,
) -> int:
    """Loads a version beside those that run, and has it take their place; which one it is."""
    with _operation(f"load of {name}") as server:
        launch = change(_launch_of(name))
        version = launch.resolve(version)
        loaded = _load_beside(server, launch, version)
        if switch:
            _take_place(server, loaded, keep_previous=keep_previous, drain=drain, is_new=True)
        return version


def switch(name: str, version: int) -> None:
    """See ``server.switch_version``."""
    with _operation(f"switch of {name}") as server:
        _lead_to(server, _find(name, version))


def unload(name: str, version: int, drain: float) -> None:
    """See ``server.unload_version``."""
    running = _find(name, version)
    if not running.is_loading:
        with _operation(f"unload of {name}") as server:
            _unload(server, running, drain)
    elif running.beside:
        STATE.current().unload(name, version, 0.0)  # Whoever loads it is told, and ends it.
    else:
        raise FailedPreconditionError(f"servable {name} version {version} is still being started")


def roll_back(name: str, *, keep_previous: bool, drain: float) -> int:
    """See ``server.roll_back``."""
    with _operation(f"rollback of {name}") as server:
        _launch_of(name)  # Raises when there is no such servable.
        if name not in STATE.previous:
            raise FailedPreconditionError(
                f"there is no version of servable {name} to go back to: nothing has been switched"
            )
        launch, version = STATE.previous[name]
        running = STATE.find(name, version)
        is_new = running is None
        if running is None:
            running = _load_beside(server, launch, launch.resolve(version))
        _take_place(server, running, keep_previous=keep_previous, drain=drain, is_new=is_new)
        return version


def _launch_of(name: str) -> Launch:
    """How the version was started that requests come to."""
    if name not in STATE.launches:
        known = ", ".join(sorted(STATE.launches)) or "none"
        raise NotFoundError(f"there is no servable {name} in this server, there is {known}")
    return STATE.launches[name]


def _find(name: str, version: int) -> Running:
    STATE.current()  # Raises when there is no server.
    running = STATE.find(name, version)
    if running is None:
        _launch_of(name)
        raise NotFoundError(f"servable {name} version {version} has not been started")
    return running


def _load_beside(server: _core.Server, launch: Launch, version: int) -> Running:
    name = launch.name
    if STATE.find(name, version) is not None:
        raise FailedPreconditionError(f"servable {name} version {version} runs already")
    _logger.info("loading servable %s version %d", name, version)
    try:
        return start(launch, version, server, beside=True)
    except BaseException as error:
        failed = STATE.find(name, version)
        if failed is not None and failed.beside:
            _end(server, failed, in_core=not isinstance(error, AlreadyExistsError))
        raise


def _take_place(
    server: _core.Server, running: Running, *, keep_previous: bool, drain: float, is_new: bool
) -> None:
    """Has requests come to a version, and ends the one that they came to before."""
    try:
        previous = _lead_to(server, running)
    except BaseException:
        if is_new:  # Nothing is to have changed.
            _end(server, running, in_core=True)
        raise
    if previous is not None and not keep_previous:
        _unload(server, previous, drain)


def _lead_to(server: _core.Server, running: Running) -> Running | None:
    """Has requests come to a version; the one that they came to before."""
    name = running.launch.name
    before = _default_version(server, name)
    server.switch(name, running.version)
    _logger.info("requests for servable %s come to version %d now", name, running.version)
    STATE.launches[name] = running.launch
    if before is None or before == running.version:
        return None
    previous = STATE.find(name, before)
    if previous is not None:
        STATE.previous[name] = (previous.launch, before)
    return previous


def _default_version(server: _core.Server, name: str) -> int | None:
    """The one that requests come to that name none."""
    for servable in json.loads(server.state_as_json())["servables"]:
        if servable["name"] == name and servable["is_default"]:
            return int(servable["version"])
    return None


def _unload(server: _core.Server, running: Running, drain: float) -> None:
    name, version = running.launch.name, running.version
    server.unload(name, version, drain)
    if STATE.discard(running):
        running.end()
    _logger.info("servable %s version %d has been unloaded", name, version)


def _end(server: _core.Server, running: Running, *, in_core: bool) -> None:
    """Ends what nobody is to see, however far it has come."""
    if not STATE.discard(running):
        return  # The whole server ends, and it with it.
    running.close()
    if in_core:
        try:
            server.unload(running.launch.name, running.version, 0.0)
        except Error as error:  # It has not come so far that the core knows it, or it is gone.
            _logger.debug("nothing to unload: %s", error)
    running.end()
