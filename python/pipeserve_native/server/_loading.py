"""Brings what a ``servable_config.py`` registered to a server, whoever owns it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pipeserve_native import _core
from pipeserve_native._errors import FailedPreconditionError
from pipeserve_native._registry import (
    Binding,
    DistributedDeclaration,
    LocalDeclaration,
    Registry,
)
from pipeserve_native.server import _ascend

LANES = {
    "auto": _core.LaneKind.AUTO,
    "shm": _core.LaneKind.SHM,
    "grpc": _core.LaneKind.GRPC,
}
WAITS = ("last", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How a servable runs that is not declared as distributed."""

    dec_key: bytes | None = None
    dec_mode: str = "AES-GCM"
    threads: int | None = None
    max_inflight: int | None = None
    device_type: str = "None"
    device_ids: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOptions:
    """How a servable runs whose graphs run in agents."""

    rank_table_file: str
    address: str
    call_timeout: float = 10.0
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
    """Loads the model files in the version directory ``folder``, here or on an Ascend device."""
    spec = registry.build(version)
    declaration = registry.declaration
    if not isinstance(declaration, LocalDeclaration):
        raise FailedPreconditionError(
            f"Servable {registry.name} is declared as distributed, start it with "
            "distributed.start_servable"
        )
    on_ascend = _ascend.is_chosen(declaration, options.device_type)
    files = [os.path.join(folder, file) for file in declaration.servable_file]
    registry.binding = Binding(server, version)  # Before anybody can call it.
    if on_ascend:
        _ascend.load(
            server,
            registry,
            spec,
            files,
            device_ids=options.device_ids,
            key=options.dec_key,
            mode=options.dec_mode,
            max_inflight=options.max_inflight or 0,
        )
        return
    server.load_local(
        spec,
        model_files=files,
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
        call_timeout=options.call_timeout,
        lane=LANES[options.lane],
        wait_for_all=options.wait == "all",
        max_inflight=options.max_inflight or 0,
    )
    return address, declaration.rank_size
