"""From what ``startup_agents`` was asked for to the agents of this machine."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import os
import socket
import tempfile
from dataclasses import dataclass

from pipeserve_native import _checks, _core, _lifetime, _programs, _token
from pipeserve_native._agents import Agents, OnFailure, Supervision
from pipeserve_native._errors import (
    DeadlineExceededError,
    Error,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from pipeserve_native.client import SSLConfig

_logger = logging.getLogger("pipeserve_native")

_CONFIG_ATTEMPTS = 60
_CONFIG_ATTEMPT_SECONDS = 2.0
_PORTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The server's, where agents come in."""

    address: str
    ssl: SSLConfig | None
    token: str
    token_file: str | None

    def ssl_options(self) -> _core.ClientSslOptions | None:
        """For the core."""
        return None if self.ssl is None else self.ssl._options()

    def flags(self) -> list[str]:
        """Of an agent. A token of the environment is there by itself."""
        flags = ["--server", self.address]
        files = [("--token-file", self.token_file)]
        if self.ssl is not None:
            files.append(("--ssl-ca", self.ssl.custom_ca or ""))
            files.append(("--ssl-certificate", self.ssl.certificate))
            files.append(("--ssl-private-key", self.ssl.private_key))
        for flag, file in files:
            if file is not None:
                flags += [flag, file and os.path.abspath(file)]
        return flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What ``startup_agents`` was asked for; the paths are resolved."""

    door: Door
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
    on_agent_failure: str
    max_restarts: int | None
    heartbeat: float
    dead_after: float
    hccl: str


@dataclass(frozen=True, slots=True)
class _Place:
    """This machine among those of the rank table."""

    ip: str
    ranks: list[int]
    device_ids: list[int]


def _acquire_config(door: Door) -> _core.AgentGroupConfig:
    ssl = door.ssl_options()
    for attempt in range(_CONFIG_ATTEMPTS):  # In pieces, so that Ctrl-C is seen between them.
        with contextlib.suppress(UnavailableError, DeadlineExceededError):
            return _core.acquire_agent_config(
                door.address, _CONFIG_ATTEMPT_SECONDS, token=door.token, ssl=ssl
            )
        if attempt == 0:
            what = "server" if ssl is None else "server whose TLS fits"
            _logger.warning("no %s at %s yet, waiting for it", what, door.address)
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


def _write_rank_table(content: str) -> str:
    """The server's rank table as a file for HCCL, which wants to be told that it is complete."""
    table = json.loads(content)
    if table.get("version") != "1.0" or "server_list" not in table:
        raise FailedPreconditionError(
            "hccl='rank-table' needs a rank table of version 1.0 with a server_list, the server's "
            f"has version {table.get('version')!r} and {', '.join(table)}"
        )
    table.setdefault("status", "completed")
    fd, path = tempfile.mkstemp(prefix="pipeserve-rank-table-", suffix=".json")
    with open(fd, "w") as file:
        json.dump(table, file)
    return path


def _commands(
    request: Request, place: _Place, rank_size: int, rank_table: str | None = None
) -> dict[int, list[str]]:
    """By rank."""
    commands = {}
    program = _programs.path_of("pipeserve-agent")
    for index, rank in enumerate(place.ranks):
        command = [program, *request.door.flags()]
        command += ["--rank", str(rank), "--device-id", str(place.device_ids[index])]
        for file in request.model_files[index]:
            command += ["--model", file]
        for file in request.group_config_files[index] if request.group_config_files else []:
            command += ["--group-config", file]
        command += ["--listen", f"{place.ip}:{request.agent_start_port + index}"]
        command += ["--rank-size", str(rank_size)]
        command += ["--local-ranks", str(len(place.ranks))]
        if request.threads is not None:
            command += ["--threads", str(request.threads)]
        command += ["--dec-mode", request.mode, "--collectives", request.collectives]
        command += ["--device", request.device, "--precision", request.precision]
        if request.deterministic:
            command += ["--deterministic"]
        if request.overlap:
            command += ["--overlap"]
        if rank_table is not None:
            command += ["--rank-table", rank_table]
        commands[rank] = command
    return commands


def _describe(request: Request, place: _Place) -> str:
    return (
        f"distributed worker_address: {request.door.address}, agent_ip: {place.ip}, "
        f"agent_start_port: {request.agent_start_port}, device ids: {place.device_ids}, "
        f"rank ids: {place.ranks}, model files: {request.model_files}, "
        f"group config files: {request.group_config_files}"
    )


def _report_failure(door: Door, reason: str) -> None:
    try:
        _core.report_agents_failed(door.address, reason, token=door.token, ssl=door.ssl_options())
    except Error as error:
        _logger.warning("the server was not told that its agents failed: %s", error)


def _supervision(request: Request) -> Supervision:
    return Supervision(
        on_failure=OnFailure(request.on_agent_failure),
        max_restarts=request.max_restarts,
        heartbeat=request.heartbeat,
        dead_after=request.dead_after,
        give_up=functools.partial(_report_failure, request.door),
    )


def startup_agents(request: Request) -> None:
    """See ``server.distributed.startup_agents``; the arguments are checked for type."""
    _lifetime.start_housekeeping()
    config = _acquire_config(request.door)
    place = _find_place(request, config)
    _check_files(request, place)
    rank_table = None
    if request.hccl == "rank-table":
        rank_table = _write_rank_table(config.rank_table_json)
    agents = Agents(
        _commands(request, place, config.rank_size, rank_table),
        request.key,
        _supervision(request),
        files=[rank_table] if rank_table else [],
    )
    atexit.register(agents.stop)
    try:
        agents.start()
    except BaseException as error:
        agents.stop()
        interrupted = not isinstance(error, Exception)
        reason = "Fail to start agents because of Ctrl+C" if interrupted else str(error)
        _lifetime.announce(f"Failed to start agents, {_describe(request, place)}, {reason}")
        _report_failure(request.door, reason)
        raise
    message = f"Success to start agents, {_describe(request, place)}"
    _logger.info("%s", message)
    _lifetime.announce(message)
    agents.watch(keep_process=True)
    _lifetime.on_exit_signal(agents.wake)


def start_own_agent(request: Request, device_id: int) -> Agents:
    """Starts the agent of a group of one rank, which lives as long as whoever has the result."""
    commands = _commands(request, _Place("127.0.0.1", [0], [device_id]), rank_size=1)
    # At a Ctrl-C the server first finishes what runs there.
    agents = Agents(
        commands,
        request.key,
        _supervision(request),
        environment={_token.VARIABLE: request.door.token},
        new_session=True,
    )
    try:
        agents.start()
    except BaseException:
        agents.stop()
        raise
    agents.watch(keep_process=False)
    return agents
