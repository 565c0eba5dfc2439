"""Brings what a ``servable_config.py`` registered to a server, whoever owns it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from pipeserve_native import _core, _launcher
from pipeserve_native._agents import Agents
from pipeserve_native._errors import FailedPreconditionError
from pipeserve_native._registry import (
    Binding,
    DistributedDeclaration,
    LocalDeclaration,
    MakeFunction,
    Registry,
    make_here,
)
from pipeserve_native._workers import Workers
from pipeserve_native.server import _ascend

LANES = {
    "auto": _core.LaneKind.AUTO,
    "shm": _core.LaneKind.SHM,
    "grpc": _core.LaneKind.GRPC,
}
WAITS = ("last", "all")

_READY_SECONDS = 600.0  # From an agent that has loaded its graphs to the end of the warm-up.
# An agent gives a call on its device up after 30 s. This is for one that hangs, behind the calls of
# others that may take as long.
_ASCEND_CALL_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How a servable runs that is not declared as distributed."""

    dec_key: bytes | None = None
    dec_mode: str = "AES-GCM"
    threads: int | None = None
    max_inflight: int | None = None
    device_type: str = "None"
    device_ids: tuple[int, ...] = (0,)
    workers: Workers | None = None
    on_request_only: bool = False
    """Requests that name no version do not come to it until somebody switches to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOptions:
    """How a servable runs whose graphs run in agents."""

    rank_table_file: str
    address: str
    ssl: _core.SslOptions | None = None
    token: str = ""
    call_timeout: float = 10.0
    heartbeat: float = 1.0
    dead_after: float = 3.0
    failover_timeout: float = 30.0
    on_agent_lost: Callable[[], None] | None = None
    lane: str = "auto"
    wait: str = "last"
    max_inflight: int | None = None
    workers: Workers | None = None
    on_request_only: bool = False


def _maker(workers: Workers | None) -> MakeFunction:
    """Where the functions of a config run."""
    return make_here if workers is None else workers.function


def _inflight(options: LocalOptions | GroupOptions) -> int:
    """0 is what the server says. A request has a worker, so more would only wait."""
    return options.max_inflight or (options.workers.count if options.workers else 0)


def load_local(
    server: _core.Server,
    registry: Registry,
    version: int,
    folder: str,
    options: LocalOptions,
) -> None:
    """Loads the model files in the version directory ``folder``, here or on an Ascend device."""
    spec = registry.build(version, _maker(options.workers))
    declaration = registry.declaration
    if not isinstance(declaration, LocalDeclaration):
        raise FailedPreconditionError(
            f"Servable {registry.name} is declared as distributed, start it with "
            "distributed.start_servable"
        )
    files = [os.path.join(folder, file) for file in declaration.servable_file]
    on_ascend = _ascend.is_chosen(declaration, options.device_type)
    registry.binding = Binding(server, version)  # Before anybody can call it.
    if on_ascend:
        registry.agents = _start_on_ascend(server, spec, declaration, files, options)
        server.wait_ready(registry.name, version, _READY_SECONDS)
        return
    server.load_local(
        spec,
        model_files=files,
        key=options.dec_key,
        mode=options.dec_mode,
        threads=options.threads,
        max_inflight=_inflight(options),
        on_request_only=options.on_request_only,
    )


def _start_on_ascend(
    server: _core.Server,
    spec: _core.ServableSpec,
    declaration: LocalDeclaration,
    files: list[str],
    options: LocalOptions,
) -> Agents:
    """Starts a group of one rank, and its agent; returns when that has loaded its graphs."""
    device_id = _ascend.the_device(options.device_ids)
    request = _ascend.agent_request(declaration, files, options.dec_key, options.dec_mode)
    group = GroupOptions(
        rank_table_file="",
        address="127.0.0.1:0",
        call_timeout=_ASCEND_CALL_SECONDS,
        max_inflight=options.max_inflight,
        workers=options.workers,
        token=request.door.token,
        on_request_only=options.on_request_only,
    )
    address = _start_group(server, spec, group, rank_size=1, stage_size=1)
    return _launcher.start_own_agent(
        replace(request, door=replace(request.door, address=address)), device_id
    )


def open_group(
    server: _core.Server, registry: Registry, version: int, options: GroupOptions
) -> tuple[str, int]:
    """Opens the door of the agents. Returns its address and how many are to come."""
    spec = registry.build(version, _maker(options.workers))
    declaration = registry.declaration
    if not isinstance(declaration, DistributedDeclaration):
        raise FailedPreconditionError(
            f"Servable {registry.name} is not declared as distributed, start it with "
            "start_servables"
        )
    registry.binding = Binding(server, version)
    ranks, stages = declaration.rank_size, declaration.stage_size
    return _start_group(server, spec, options, rank_size=ranks, stage_size=stages), ranks


def _start_group(
    server: _core.Server,
    spec: _core.ServableSpec,
    options: GroupOptions,
    *,
    rank_size: int,
    stage_size: int,
) -> str:
    """Opens the door of the agents; its address."""
    return server.start_distributed(
        spec,
        rank_size=rank_size,
        stage_size=stage_size,
        rank_table_file=options.rank_table_file,
        address=options.address,
        agents_ssl=options.ssl,
        agent_token=options.token,
        call_timeout=options.call_timeout,
        heartbeat=options.heartbeat,
        dead_after=options.dead_after,
        failover_timeout=options.failover_timeout,
        on_agent_lost=options.on_agent_lost,
        lane=LANES[options.lane],
        wait_for_all=options.wait == "all",
        max_inflight=_inflight(options),
        on_request_only=options.on_request_only,
    )
