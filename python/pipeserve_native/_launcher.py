"""Starts the agents of one machine, watches them, and ends them together.

Agents are programs of their own, started by exec. Each holds the reading end of a pipe whose other
end only this process has, so that it knows when its launcher is gone, however it went.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeserve_native import _checks, _core, _lifetime, _programs
from pipeserve_native._errors import (
    DeadlineExceededError,
    Error,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)

_logger = logging.getLogger("pipeserve_native")

_CONFIG_ATTEMPTS = 60
_CONFIG_ATTEMPT_SECONDS = 2.0
_PORTS = 8
_TERMINATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What ``startup_agents`` was asked for; the paths are resolved."""

    distributed_address: str
    model_files: list[list[str]]
    group_config_files: list[list[str]] | None
    agent_start_port: int
    agent_ip: str | None
    rank_start: int | None
    key: bytes | None
    mode: str
    threads: int | None
    collectives: str
    device: str
    precision: str
    deterministic: bool
    overlap: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """This machine among those of the rank table."""

    ip: str
    ranks: list[int]
    device_ids: list[int]


def _acquire_config(address: str) -> _core.AgentGroupConfig:
    for attempt in range(_CONFIG_ATTEMPTS):  # In pieces, so that Ctrl-C is seen between them.
        with contextlib.suppress(UnavailableError, DeadlineExceededError):
            return _core.acquire_agent_config(address, _CONFIG_ATTEMPT_SECONDS)
        if attempt == 0:
            _logger.warning("no server at %s yet, waiting for it", address)
    raise UnavailableError("Failed to get Agents configs from Worker, worker is not available.")


def _can_bind(ip: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True


def _find_local_ip(request: Request, ips: list[str]) -> str:
    for ip in ips:
        if _can_bind(ip, request.agent_start_port):
            return ip
    raise FailedPreconditionError(
        f"Get local machine ip failed, rank table ips: {', '.join(ips)}, "
        f"bind port {request.agent_start_port}"
    )


def _check_given_ip(request: Request, rank_size: int) -> tuple[str, int]:
    ip = _checks.check_str("agent_ip", request.agent_ip)
    rank_start = _checks.check_int("rank_start", request.rank_start, 0)
    if rank_start >= rank_size:
        raise InvalidArgumentError(
            f"Parameter 'rank_start' cannot equal or larger than rank size {rank_size}."
        )
    port = request.agent_start_port
    if not any(_can_bind(ip, port + i) for i in range(_PORTS)):
        raise InvalidArgumentError(f"Check ip 'agent_ip' valid failed, agent_ip: {ip}")
    return ip, rank_start


def _find_place(request: Request, config: _core.AgentGroupConfig) -> _Place:
    if (request.agent_ip is None) != (request.rank_start is None):
        raise InvalidArgumentError(
            "Parameter 'agent_ip' and parameter 'rank_start' must have values at the same time, "
            "or both None at the same time."
        )
    if request.agent_ip is None:
        ip = table_ip = _find_local_ip(request, list(dict.fromkeys(p.ip for p in config.ranks)))
    else:
        ip, rank_start = _check_given_ip(request, len(config.ranks))
        table_ip = config.ranks[rank_start].ip
    ranks = [rank for rank, place in enumerate(config.ranks) if place.ip == table_ip]
    return _Place(ip, ranks, [config.ranks[rank].device_id for rank in ranks])


def _check_files(request: Request, place: _Place) -> None:
    models, groups = request.model_files, request.group_config_files
    if len(place.ranks) != len(models):
        raise InvalidArgumentError(
            f"Card count {place.device_ids} described rank table does not equal to model files "
            f"size {len(models)}, model files: {models}"
        )
    if groups is not None and len(groups) != len(models):
        raise InvalidArgumentError(
            f"Model files count {len(models)} does not equal to group config files count "
            f"{len(groups)}, model files: {models}, group config files: {groups}"
        )
    if any(len(files) != len(models[0]) for files in models):
        raise InvalidArgumentError(
            "please check the number of  model files and group config files, every agent should "
            f"have as many graphs, model files: {models}"
        )
    if groups is not None and any(len(files) > 1 for files in groups):
        raise InvalidArgumentError(
            "please check the number of  group config files, currently only support one at most"
        )
    for kind, nested in (("model", models), ("group config", groups or [])):
        for file in (file for files in nested for file in files):
            if not os.access(file, os.R_OK):
                raise NotFoundError(f"Cannot access {kind} file '{file}'")


class _Agent:
    """One agent process, and the pipes to it."""

    def __init__(self, command: list[str], request: Request) -> None:
        with contextlib.ExitStack() as child_ends:
            launcher_read, self._launcher_write = os.pipe()
            self.status_fd, status_write = os.pipe()
            passed = {"--launcher-fd": launcher_read, "--status-fd": status_write}
            if request.key is not None:
                key_read, key_write = os.pipe()
                os.write(key_write, request.key)
                os.close(key_write)
                passed["--key-fd"] = key_read
            for fd in passed.values():
                child_ends.callback(os.close, fd)
            for flag, fd in passed.items():
                command += [flag, str(fd)]
            self.process = subprocess.Popen(
                command, pass_fds=list(passed.values()), stdin=subprocess.DEVNULL
            )
        self.exit_fd = os.pidfd_open(self.process.pid)

    def read_status(self) -> dict[str, Any] | None:
        """The line that the agent reports once; None when it ended without one."""
        with open(self.status_fd, "rb", closefd=False) as stream:
            line = stream.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        """Closes the pipes of an agent that has ended."""
        for fd in (self._launcher_write, self.status_fd, self.exit_fd):
            os.close(fd)


def _commands(
    request: Request, place: _Place, config: _core.AgentGroupConfig
) -> Iterator[list[str]]:
    program = _programs.path_of("pipeserve-agent")
    for index, rank in enumerate(place.ranks):
        command = [program, "--server", request.distributed_address]
        command += ["--rank", str(rank), "--device-id", str(place.device_ids[index])]
        for file in request.model_files[index]:
            command += ["--model", file]
        for file in request.group_config_files[index] if request.group_config_files else []:
            command += ["--group-config", file]
        command += ["--listen", f"{place.ip}:{request.agent_start_port + index}"]
        command += ["--rank-size", str(config.rank_size)]
        command += ["--local-ranks", str(len(place.ranks))]
        if request.threads is not None:
            command += ["--threads", str(request.threads)]
        command += ["--dec-mode", request.mode, "--collectives", request.collectives]
        command += ["--device", request.device, "--precision", request.precision]
        if request.deterministic:
            command += ["--deterministic"]
        if request.overlap:
            command += ["--overlap"]
        yield command


def _wait_exits(agents: list[_Agent], seconds: float) -> list[_Agent]:
    """Those that still run after ``seconds``."""
    end = time.monotonic() + seconds
    running = list(agents)
    while running and (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([agent.exit_fd for agent in running], [], [], left)
        running = [agent for agent in running if agent.exit_fd not in ready]
    return running


class _Agents:
    """All agents of this process' call of startup_agents."""

    def __init__(self) -> None:
        self._agents: list[_Agent] = []
        self._wake_read, self._wake_write = os.pipe()
        self._stop_lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin_in_child(self) -> None:
        """After a fork: the agents are the other process', and must see when it alone ends."""
        self._stop_lock = threading.Lock()
        agents, self._agents = self._agents, []
        for agent in agents:
            agent.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def start(self, request: Request, place: _Place, config: _core.AgentGroupConfig) -> None:
        """Starts the processes and waits until each has loaded its graphs and registered."""
        for command in _commands(request, place, config):
            self._agents.append(_Agent(command, request))
        waiting = {agent.status_fd: index for index, agent in enumerate(self._agents)}
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [])
            for fd in ready:
                index = waiting.pop(fd)
                self._check_status(index, place.ranks[index])
        for index in range(len(self._agents)):
            _logger.info("Child %d: Receive success", index)

    def _check_status(self, index: int, rank: int) -> None:
        status = self._agents[index].read_status()
        if status is None:
            raise FailedPreconditionError(
                f"Fail to start agents because of death of one agent, rank {rank}"
            )
        if status.get("state") != "ready":
            raise FailedPreconditionError(
                f"Fail to start agents, rank {rank}: {status.get('error')}"
            )

    def watch(self) -> None:
        """Ends all agents as soon as one ends, or wake() is called; keeps the process alive."""
        self._watcher = threading.Thread(target=self._watch, name="pipeserve-agents")
        self._watcher.start()
        _lifetime.on_exit_signal(self.wake)

    def wake(self) -> None:
        """Ends the agents. Safe in a signal handler."""
        with contextlib.suppress(OSError):  # Already ended.
            os.write(self._wake_write, b"x")

    def _watch(self) -> None:
        fds = [agent.exit_fd for agent in self._agents]
        ready, _, _ = select.select([*fds, self._wake_read], [], [])
        for index, fd in enumerate(fds):
            if fd in ready:
                code = self._agents[index].process.wait()
                level = logging.WARNING if code else logging.INFO  # 0: the server has stopped.
                _logger.log(
                    level, "Child %d ended with exit code %d, ending its siblings", index, code
                )
        self.stop()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; returns when no process is left. Idempotent."""
        with self._stop_lock:
            agents, self._agents = self._agents, []
            for agent in agents:
                agent.process.terminate()
            for agent in _wait_exits(agents, _TERMINATE_SECONDS):
                _logger.warning("agent process %d does not end, killing it", agent.process.pid)
                agent.process.kill()
            for agent in agents:
                agent.process.wait()
                agent.close()


def _describe(request: Request, place: _Place) -> str:
    return (
        f"distributed worker_address: {request.distributed_address}, agent_ip: {place.ip}, "
        f"agent_start_port: {request.agent_start_port}, device ids: {place.device_ids}, "
        f"rank ids: {place.ranks}, model files: {request.model_files}, "
        f"group config files: {request.group_config_files}"
    )


def _report_failure(address: str, reason: str) -> None:
    try:
        _core.report_agents_failed(address, reason)
    except Error as error:
        _logger.warning("the server was not told that its agents failed: %s", error)


def startup_agents(request: Request) -> None:
    """See ``server.distributed.startup_agents``; the arguments are checked for type."""
    _lifetime.start_housekeeping()
    config = _acquire_config(request.distributed_address)
    place = _find_place(request, config)
    _check_files(request, place)
    agents = _Agents()
    atexit.register(agents.stop)
    try:
        agents.start(request, place, config)
    except BaseException as error:
        agents.stop()
        interrupted = not isinstance(error, Exception)
        reason = "Fail to start agents because of Ctrl+C" if interrupted else str(error)
        print(f"Failed to start agents, {_describe(request, place)}, {reason}", flush=True)
        _report_failure(request.distributed_address, reason)
        raise
    message = f"Success to start agents, {_describe(request, place)}"
    _logger.info("%s", message)
    print(message, flush=True)
    agents.watch()
