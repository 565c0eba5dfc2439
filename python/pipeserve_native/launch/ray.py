"""Serves on a Ray cluster: a server and its agents as actors that Ray places and restarts.

    ray.init(address="auto")
    with launch_ray.serve("demo/matmul", "demo/model", agents_per_host=4) as deployment:
        print(deployment.address)
        signal.pause()

All of it ends with the process that called ``serve``, at the latest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

try:
    import ray
except ImportError as error:
    raise ImportError(
        "pipeserve_native.launch.ray needs Ray: pip install 'pipeserve-native[ray]'"
    ) from error

from pipeserve_native import _checks, _model_folders
from pipeserve_native._errors import InvalidArgumentError, NotFoundError, UnavailableError
from pipeserve_native.launch._ray_actors import Place, ServerOptions
from pipeserve_native.launch._ray_deployment import Deployment, Status

__all__ = ["Deployment", "Status", "serve"]

_GIVE_UP_SECONDS = 5.0
_ONE_CORE: Mapping[str, float] = {"CPU": 1}


def _threads(resources: Mapping[str, float]) -> int | None:
    """As many as Ray has set aside; None if it was not asked for a whole core."""
    return int(resources.get("CPU", 0)) or None


def _folder_path(name: str, value: str | os.PathLike[str]) -> str:
    path = os.path.abspath(_checks.check_str(name, os.fspath(value)))
    if not os.path.isdir(path):
        raise NotFoundError(f"Parameter '{name}' should be a directory, there is none at {path}")
    return path


def _bundles(
    hosts: int,
    agents_per_host: int,
    agent_resources: Mapping[str, float],
    server_resources: Mapping[str, float],
) -> list[dict[str, float]]:
    """What each host is to have; the first one has the server, too."""
    agents = {name: amount * agents_per_host for name, amount in agent_resources.items()}
    bundles = [{name: amount for name, amount in agents.items() if amount} for _ in range(hosts)]
    for name, amount in server_resources.items():
        bundles[0][name] = bundles[0].get(name, 0) + amount
    return bundles


def _reserve(bundles: list[dict[str, float]], seconds: float) -> Any:
    group = ray.util.placement_group(bundles, strategy="STRICT_SPREAD")
    if not group.wait(seconds):
        ray.util.remove_placement_group(group)
        raise UnavailableError(
            f"the Ray cluster has had no room within {seconds:.0f} s for {bundles}, each on a "
            f"machine of its own; free: {ray.available_resources()}"
        )
    return group


def _check_agents_per_host(value: Any, ranks: int) -> int:
    """How many ranks share a host: a divisor of all of them, which are the default."""
    if value is None:
        return ranks
    agents = _checks.check_int("agents_per_host", value, 1)
    if agents > ranks or ranks % agents:
        raise InvalidArgumentError(
            f"Parameter 'agents_per_host' should divide the number of ranks, {ranks}, "
            f"but is {agents}"
        )
    return agents


def _rank_folders(models: str | os.PathLike[str] | None) -> list[str]:
    if models is None:
        return []
    path = _folder_path("models", models)
    folders = _model_folders.device_folders(path)
    if not folders:
        raise NotFoundError(f"there is no directory device<r> in {path}")
    return folders


def serve(
    servable: str | os.PathLike[str],
    models: str | os.PathLike[str] | None = None,
    *,
    agents_per_host: int | None = None,
    ship: bool = True,
    agent_resources: Mapping[str, float] = _ONE_CORE,
    server_resources: Mapping[str, float] = _ONE_CORE,
    agent_flags: Sequence[str] = (),
    grpc_port: int = 5500,
    rest_port: int = 1500,
    distributed_port: int = 6200,
    max_inflight: int = 4,
    max_request_seconds: float | None = None,
    call_timeout: float = 10.0,
    max_restarts: int = -1,
    start_timeout: float = 120.0,
) -> Deployment:
    """Starts a server and the agents of its servable on the cluster; returns when it answers.

    The server's doors and, if the agents are on several hosts, what the agents are told, are on
    the IPs that Ray knows the machines by: the cluster's network should be trusted.

    Args:
        servable: The servable's own folder, with ``servable_config.py`` and, if its graphs run in
            the server, its version folders.
        models: The folder with ``device<r>`` for each rank r, as for ``pipeserve agent``; None if
            the servable is not distributed.
        agents_per_host: Consecutive ranks that share a machine; other ranks are on other machines.
            None: all are on one. The server is where rank 0 is.
        ship: The files are read here and travel through Ray's object store, to each machine its
            own. False: every machine has both folders at the same paths.
        agent_resources: What Ray sets aside for an agent. ``CPU`` is also the number of its
            threads; ``{"CPU": 4, "NPU": 1}`` gives each an Ascend device of its own.
        server_resources: What Ray sets aside for the server. ``CPU`` is also the number of threads
            of one graph call in it.
        agent_flags: More flags of the program ``pipeserve-agent``.
        grpc_port: Of the gRPC door, on the server's machine.
        rest_port: Of the REST door; 0 is none.
        distributed_port: Where the server waits for agents.
        max_inflight: Requests that run at once, 1 to 1024.
        max_request_seconds: From the admission of a request to its answer; None is no maximum.
        call_timeout: Seconds for one graph call on all ranks.
        max_restarts: How often Ray restarts each actor that dies; -1: without end.
        start_timeout: Seconds until clients must be answered.

    Raises:
        InvalidArgumentError: An argument of another type or out of range.
        NotFoundError: No such folder or file.
        FailedPreconditionError: The config raised, an agent did not start, or the agents do not fit
            the servable; the text tells what.
        UnavailableError: The cluster has no room, or a port is in use on the server's machine.
        DeadlineExceededError: It was not done within ``start_timeout``.
    """
    servable_folder = _folder_path("servable", servable)
    folders = _rank_folders(models)
    local_ranks = _check_agents_per_host(agents_per_host, len(folders))
    options = ServerOptions(
        local_ranks=local_ranks,
        grpc_port=_checks.check_int("grpc_port", grpc_port, 1, 65535),
        rest_port=_checks.check_int("rest_port", rest_port, 0, 65535),
        distributed_port=_checks.check_int("distributed_port", distributed_port, 1, 65535),
        threads=_threads(server_resources),
        max_inflight=_checks.check_int("max_inflight", max_inflight, 1, 1024),
        max_request_seconds=_checks.check_seconds("max_request_seconds", max_request_seconds),
        call_timeout=_checks.check_seconds("call_timeout", call_timeout),
    )
    _checks.check_int("max_restarts", max_restarts, -1)
    end = time.monotonic() + _checks.check_wait("start_timeout", start_timeout)
    hosts = len(folders) // local_ranks if folders else 1
    bundles = _bundles(hosts, local_ranks, agent_resources, server_resources)
    deployment = Deployment(_reserve(bundles, start_timeout), max_restarts)
    try:
        deployment._start_server(servable_folder, options, ship, server_resources)
        for rank, folder in enumerate(folders):
            place = Place(
                rank=rank,
                rank_size=len(folders),
                local_ranks=local_ranks,
                threads=_threads(agent_resources),
                folder=folder,
                flags=tuple(agent_flags),
            )
            deployment._start_agent(place, ship, agent_resources)
        deployment._wait_started(end)
        deployment.wait_available(max(end - time.monotonic(), 0.0))
    except BaseException:
        deployment.stop(timeout=_GIVE_UP_SECONDS)
        raise
    return deployment
