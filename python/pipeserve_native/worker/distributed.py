"""Deprecated: the names of ``pipeserve_native.server.distributed`` before version 1.3."""

from __future__ import annotations

from collections.abc import Sequence

from pipeserve_native import _checks
from pipeserve_native._deprecated import warn
from pipeserve_native.server import distributed

__all__ = [
    "declare_distributed_servable",
    "start_distributed_servable_in_master",
    "startup_worker_agents",
]


def start_distributed_servable_in_master(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int = 1,
    worker_ip: str = "127.0.0.1",
    worker_port: int = 6200,
    wait_agents_time_in_seconds: int = 0,
) -> None:
    """Use ``server.distributed.start_servable``."""
    warn(
        "worker.distributed.start_distributed_servable_in_master",
        "server.distributed.start_servable",
    )
    _checks.check_port("worker_port", worker_port)
    distributed.start_servable(
        servable_directory,
        servable_name,
        rank_table_json_file,
        version_number,
        f"{_checks.check_str('worker_ip', worker_ip)}:{worker_port}",
        wait_agents_time_in_seconds,
    )


def startup_worker_agents(
    worker_ip: str,
    worker_port: int,
    model_files: Sequence[Sequence[str] | str],
    group_config_files: Sequence[Sequence[str] | str] | None = None,
    agent_start_port: int = 7000,
    agent_ip: str | None = None,
    rank_start: int | None = None,
) -> None:
    """Use ``server.distributed.startup_agents``."""
    warn("worker.distributed.startup_worker_agents", "server.distributed.startup_agents")
    _checks.check_port("worker_port", worker_port)
    distributed.startup_agents(
        f"{_checks.check_str('worker_ip', worker_ip)}:{worker_port}",
        model_files,
        group_config_files,
        agent_start_port,
        agent_ip,
        rank_start,
    )


def declare_distributed_servable(
    rank_size: int,
    stage_size: int,
    with_batch_dim: bool = True,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> None:
    """Use ``server.distributed.declare_servable``."""
    warn("worker.distributed.declare_distributed_servable", "server.distributed.declare_servable")
    distributed.declare_servable(rank_size, stage_size, with_batch_dim, without_batch_dim_inputs)
