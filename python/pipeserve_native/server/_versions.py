"""How one version of a servable in this process's server replaces another.

Each version is a whole: the functions of its config, its graphs, its agents and workers. A new one
is loaded and warmed up beside the old one; then the core leads all new requests to it at once, and
the old one ends when the requests that it has are answered.
"""

from __future__ import annotations

import json
import logging
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from pipeserve_native import _core
from pipeserve_native._errors import Error, FailedPreconditionError, NotFoundError
from pipeserve_native._registry import Registry
from pipeserve_native._workers import WorkerOptions, Workers
from pipeserve_native.server import _config
from pipeserve_native.server._state import STATE

_logger = logging.getLogger("pipeserve_native")

_operations = threading.Lock()
"""One after the other: what an operation finds stays so until it is done."""


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
    workers: Workers | None = None

    def start_workers(self, server: _core.Server) -> None:
        """Those that the launch wants."""
        if self.launch.workers.count == 0:
            return
        self.workers = Workers(
            server, self.launch.directory, self.launch.name, self.version, self.launch.workers
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


def start(launch: Launch, version: int, *, on_request_only: bool = False) -> Running:
    """Loads a version; when that fails, what it has begun is for the caller to end."""
    server = STATE.server
    registry = _config.load_config(launch.directory, launch.name, version)
    running = Running(launch, version, registry)
    STATE.add(running)
    running.start_workers(server)
    launch.load(server, running, on_request_only)
    return running


def status() -> dict[str, Any]:
    """See ``server.status``."""
    state: dict[str, Any] = json.loads(STATE.current().state_as_json())
    return state


def load(
    name: str, version: int, launch: Launch, *, switch: bool, keep_previous: bool, drain: float
) -> int:
    """Loads a version beside those that run, and has it take their place; which one it is."""
    with _operations:
        version = launch.resolve(version)
        _load_beside(launch, version)
        if switch:
            _switch(name, version, keep_previous=keep_previous, drain=drain)
        return version


def switch(name: str, version: int) -> None:
    """See ``server.switch_version``."""
    with _operations:
        _switch(name, version, keep_previous=True, drain=0.0)


def unload(name: str, version: int, drain: float) -> None:
    """See ``server.unload_version``."""
    with _operations:
        _unload(_find(name, version), drain)


def roll_back(name: str, *, keep_previous: bool, drain: float) -> int:
    """See ``server.roll_back``."""
    with _operations:
        latest(name)  # Raises when there is no such servable.
        before = STATE.previous.get(name)
        if before is None:
            raise FailedPreconditionError(
                f"there is no version of servable {name} to go back to: nothing has been switched"
            )
        if STATE.find(name, before.version) is None:
            _load_beside(before.launch, before.version)
        _switch(name, before.version, keep_previous=keep_previous, drain=drain)
        return before.version


def latest(name: str) -> Running:
    """The version of a servable that was started last."""
    running = STATE.find(name)
    if running is None:
        known = ", ".join(sorted({each.launch.name for each in STATE.running()})) or "none"
        raise NotFoundError(f"there is no servable {name} in this server, there is {known}")
    return running


def _find(name: str, version: int) -> Running:
    latest(name)
    running = STATE.find(name, version)
    if running is None:
        raise NotFoundError(f"servable {name} version {version} has not been started")
    return running


def _load_beside(launch: Launch, version: int) -> None:
    if STATE.find(launch.name, version) is not None:
        raise FailedPreconditionError(f"servable {launch.name} version {version} runs already")
    _logger.info("loading servable %s version %d", launch.name, version)
    try:
        start(launch, version, on_request_only=True)
    except BaseException:
        failed = STATE.find(launch.name, version)
        if failed is not None:
            _end(failed, drain=0.0)
        raise


def _default_version(name: str) -> int | None:
    """The one that requests come to that name none."""
    for servable in status()["servables"]:
        if servable["name"] == name and servable["is_default"]:
            return int(servable["version"])
    return None


def _switch(name: str, version: int, *, keep_previous: bool, drain: float) -> None:
    _find(name, version)
    before = _default_version(name)
    STATE.current().switch(name, version)
    _logger.info("requests for servable %s come to version %d now", name, version)
    previous = None if before in (None, version) else STATE.find(name, before)
    if previous is None:
        return
    STATE.previous[name] = previous
    if not keep_previous:
        _unload(previous, drain)


def _unload(running: Running, drain: float) -> None:
    name, version = running.launch.name, running.version
    STATE.current().unload(name, version, drain)
    if STATE.discard(running):
        running.end()
    _logger.info("servable %s version %d has been unloaded", name, version)


def _end(running: Running, drain: float) -> None:
    """Ends what has failed to start, however far it has come."""
    if not STATE.discard(running):
        return  # The whole server ends, and it with it.
    running.close()
    try:
        STATE.current().unload(running.launch.name, running.version, drain)
    except Error as error:  # It has not come so far that the core knows it.
        _logger.debug("nothing to unload: %s", error)
    running.end()
