"""What Ray runs: an actor that serves, and one for each agent.

Ray starts an actor that died again by running its constructor again, so that is where all begins.
What fails there when an actor starts for the first time is told to whoever awaits it; later the
actor's process ends, so that Ray tries again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from pipeserve_native import _core, _lifetime, _model_folders
from pipeserve_native._errors import (
    DeadlineExceededError,
    Error,
    InvalidArgumentError,
    UnavailableError,
)
from pipeserve_native._registry import DistributedDeclaration, Registry
from pipeserve_native.launch._agent_process import AgentProcess
from pipeserve_native.launch._files import write_files
from pipeserve_native.server import _config, _loading

_logger = logging.getLogger("pipeserve_native")

_LOOPBACK = "127.0.0.1"
_LOCATE_SERVER_SECONDS = 60.0
_MESSAGE_BYTES = 100 << 20
_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How the server runs, whichever machine it is on."""

    local_ranks: int
    """Ranks on each host of the placement group; 0: the servable is not distributed."""
    grpc_port: int
    rest_port: int
    distributed_port: int
    threads: int | None
    max_inflight: int
    max_request_seconds: float
    call_timeout: float


# The files of a folder by their path in it; None: the folder is on every machine.
Files = Mapping[str, bytes] | None


def _empty_scratch() -> str:
    """A folder of this actor's own: what it left there when it was killed is gone."""
    actor = ray.get_runtime_context().get_actor_id()
    folder = os.path.join(tempfile.gettempdir(), f"pipeserve-{actor}")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder, mode=0o700)
    return folder


def _folder_of(path: str, files: Files, parent: str) -> str:
    """Where the folder is on this machine; shipped files are written into ``parent``."""
    if files is None:
        return path
    folder = os.path.join(parent, os.path.basename(path))
    write_files(folder, files)
    return folder


def _hosts() -> list[str]:
    """IPs of the machines of this actor's placement group, bundle by bundle."""
    group = ray.util.get_current_placement_group()
    assert group is not None  # That is where Deployment puts its actors.
    table = ray.util.placement_group_table(group)
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
    # When the server is started again Ray may still look for another host. It has no address yet,
    # and nobody asks for it: agents say where they are.
    nodes = sorted(table["bundles_to_node_id"].items())
    return [addresses.get(node, f"unknown host {bundle}") for bundle, node in nodes]


def rank_table(hosts: Sequence[str], local_ranks: int) -> str:
    """A rank table: the ranks of a host are consecutive, and its devices are numbered from 0."""
    used: Counter[str] = Counter()  # Several nodes of Ray may be on one machine.
    servers = []
    for number, host in enumerate(hosts):
        ranks = range(number * local_ranks, (number + 1) * local_ranks)
        devices = [
            {"device_id": str(used[host] + i), "rank_id": str(rank)} for i, rank in enumerate(ranks)
        ]
        used[host] += local_ranks
        servers.append({"server_id": host, "device": devices})
    return json.dumps({"version": "1.0", "server_list": servers, "status": "completed"})


class _Restartable:
    """Begins in its constructor, and knows what became of it."""

    def __init__(self) -> None:
        self._failure: Error | OSError | None = None
        try:
            self._begin()
        except (Error, OSError) as error:
            if ray.get_runtime_context().was_current_actor_reconstructed:
                _logger.error("%s", error)
                os._exit(1)
            self._failure = error

    def _begin(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """Raises what kept it from starting."""
        if self._failure is not None:
            raise self._failure


class ServerActor(_Restartable):
    """The pipeline server, in the actor's own process, on the host of rank 0."""

    def __init__(self, servable: str, files: Files, options: ServerOptions) -> None:
        self._servable = servable
        self._files = files
        self._options = options
        super().__init__()

    def _begin(self) -> None:
        options = self._options
        ip = ray.util.get_node_ip_address()
        self._scratch = _empty_scratch()
        folder = _folder_of(self._servable, self._files, self._scratch)
        self._parent, self._name = os.path.split(folder)
        version = _config.find_config(self._parent, self._name, 0)
        _lifetime.start_housekeeping()
        self._server = _core.Server(
            max_inflight=options.max_inflight,
            max_enqueued_requests=10_000,
            max_enqueued_bytes=1 << 30,
            max_request_seconds=options.max_request_seconds,
        )
        self._files = None
        self._registry = _config.load_config(self._parent, self._name, version)
        self._hub_address = ""
        self._version = self._open(self._registry, version, ip)
        limits: dict[str, Any] = {
            "max_message_bytes": _MESSAGE_BYTES,
            "max_connections": _CONNECTIONS,
            "ssl": None,
        }
        self._grpc = self._server.start_grpc(f"{ip}:{options.grpc_port}", **limits)
        self._rest = ""
        if options.rest_port:
            self._rest = self._server.start_rest(
                f"{ip}:{options.rest_port}", **limits, http_status_codes=True
            )

    def _open(self, registry: Registry, version: int, ip: str) -> int:
        """Loads the servable, or opens the door of its agents; the version."""
        options = self._options
        distributed = isinstance(registry.declaration, DistributedDeclaration)
        if distributed and not options.local_ranks:
            raise InvalidArgumentError(
                f"servable {self._name} is declared as distributed: serve() needs models"
            )
        if not options.local_ranks:
            version = _config.resolve_version(self._parent, self._name, 0)
            version_folder = os.path.join(self._parent, self._name, str(version))
            local = _loading.LocalOptions(threads=options.threads)
            _loading.load_local(self._server, registry, version, version_folder, local)
            return version
        hosts = _hosts()
        table = os.path.join(self._scratch, "rank_table.json")
        with open(table, "w", encoding="utf-8") as file:
            file.write(rank_table(hosts, options.local_ranks))
        hub_ip = ip if len(hosts) > 1 else _LOOPBACK
        group = _loading.GroupOptions(
            rank_table_file=table,
            address=f"{hub_ip}:{options.distributed_port}",
            call_timeout=options.call_timeout,
        )
        self._hub_address, _ = _loading.open_group(self._server, registry, version, group)
        return version

    def hub_address(self) -> str:
        """Where the agents come to."""
        return self._hub_address

    def addresses(self) -> tuple[str, str]:
        """Those of the gRPC and the REST door."""
        return self._grpc, self._rest

    def wait_ready(self, seconds: float) -> None:
        """Waits until clients are answered."""
        self._server.wait_ready(self._name, self._version, seconds)

    def why_not_ready(self) -> str:
        """Why clients are not answered at this moment; '' when they are."""
        try:
            self.wait_ready(0)
        except Error as error:
            return str(error)
        return ""

    def end(self, drain_seconds: float) -> None:
        """Finishes the requests that are in, closes the doors, tells the agents to end."""
        if self._failure is None:
            self._server.drain(drain_seconds)
            self._server.stop()
            self._registry.binding = None
        shutil.rmtree(self._scratch, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A rank among those of the servable."""

    rank: int
    rank_size: int
    local_ranks: int
    threads: int | None
    folder: str
    """Its graphs, where it was asked to serve."""
    flags: tuple[str, ...]


class AgentActor(_Restartable):
    """Watches the program of one rank. Ends with it, so that Ray starts both again."""

    def __init__(self, server: Any, place: Place, files: Files) -> None:
        self._server = server
        self._place = place
        self._files = files
        self._ending = threading.Event()
        super().__init__()

    def _begin(self) -> None:
        scratch = _empty_scratch()
        try:
            folder = _folder_of(self._place.folder, self._files, scratch)
            self._agent = AgentProcess(self._place.rank, self._arguments(folder))
        finally:
            shutil.rmtree(scratch)  # When the agent is ready it has read its files.
        self._files = None
        threading.Thread(target=self._watch, name="pipeserve-agent", daemon=True).start()

    def _arguments(self, folder: str) -> list[str]:
        place = self._place
        ip = ray.util.get_node_ip_address() if place.local_ranks < place.rank_size else _LOOPBACK
        arguments = ["--server", self._locate_server(), "--listen", f"{ip}:0"]
        arguments += ["--rank-size", str(place.rank_size), "--local-ranks", str(place.local_ranks)]
        if place.threads is not None:
            arguments += ["--threads", str(place.threads)]
        for file in _model_folders.model_files(folder):
            arguments += ["--model", file]
        for file in _model_folders.group_files(folder):
            arguments += ["--group-config", file]
        return [*arguments, *place.flags]

    def _locate_server(self) -> str:
        try:
            address: str = ray.get(
                self._server.hub_address.remote(), timeout=_LOCATE_SERVER_SECONDS
            )
        except GetTimeoutError as error:
            raise DeadlineExceededError(
                f"rank {self._place.rank}: the server's actor has not answered for "
                f"{_LOCATE_SERVER_SECONDS:.0f} s"
            ) from error
        except RayActorError as error:
            raise UnavailableError(
                f"rank {self._place.rank}: the server's actor is dead: {error}"
            ) from error
        return address

    def _watch(self) -> None:
        code = self._agent.wait()
        if not self._ending.is_set():
            _logger.warning(
                "agent of rank %d ended with exit code %d, so does its actor",
                self._place.rank,
                code,
            )
            os._exit(1)

    def host(self) -> str:
        """Its IP."""
        return str(ray.util.get_node_ip_address())

    def expect_end(self) -> None:
        """From now on the end of the program is no reason to start it again."""
        self._ending.set()

    def end(self) -> None:
        """Ends the program; returns when it is gone."""
        self._ending.set()
        if self._failure is None:
            self._agent.end()
