"""Brings what a ``servable_config.py`` registered to a server, whoever owns it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from pipeserve_native import _core
from pipeserve_native._errors import FailedPreconditionError, UnimplementedError
from pipeserve_native._registry import (
    Binding,
    DistributedDeclaration,
    LocalDeclaration,
    Registry,
)

LANES = {
    "auto": _core.LaneKind.AUTO,
    "shm": _core.LaneKind.SHM,
    "grpc": _core.LaneKind.GRPC,
}
WAITS = ("last", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How a servable runs whose graphs run in this process."""

    dec_key: bytes | None = None
    dec_mode: str = "AES-GCM"
    threads: int | None = None
    max_inflight: int | None = None
    device_type: str = "None"


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


def load_local(
    server: _core.Server,
    registry: Registry,
    version: int,
    folder: str,
    options: LocalOptions,
) -> None:
    """Loads the model files in the version directory ``folder``."""
    spec = registry.build(version)
    declaration = registry.declaration
    if not isinstance(declaration, LocalDeclaration):
        raise FailedPreconditionError(
            f"Servable {registry.name} is declared as distributed, start it with "
            "distributed.start_servable"
        )
    if declaration.model_format == "om":
        raise UnimplementedError(
            f"Not support device type {options.device_type} and model type OM. "
        )
    registry.binding = Binding(server, version)  # Before anybody can call it.
    server.load_local(
        spec,
        model_files=[os.path.join(folder, file) for file in declaration.servable_file],
        key=options.dec_key,
        mode=options.dec_mode,
        threads=options.threads,
        max_inflight=options.max_inflight or 0,
    )


def open_group(
    server: _core.Server, registry: Registry, version: int, options: GroupOptions
) -> tuple[str, int]:
    """Opens the door of the agents. Returns its address and how many are to come."""
    spec = registry.build(version)
    declaration = registry.declaration
    if not isinstance(declaration, DistributedDeclaration):
        raise FailedPreconditionError(
            f"Servable {registry.name} is not declared as distributed, start it with "
            "start_servables"
        )
    registry.binding = Binding(server, version)
    address = server.start_distributed(
        spec,
        rank_size=declaration.rank_size,
        stage_size=declaration.stage_size,
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
        max_inflight=options.max_inflight or 0,
    )
    return address, declaration.rank_size
