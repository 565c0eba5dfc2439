"""Servables whose graphs run in agents, one per rank."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence

from pipeserve_native import _checks, _core, _launcher, _lifetime, _registry, _token
from pipeserve_native._errors import Error, InvalidArgumentError
from pipeserve_native._registry import DistributedDeclaration
from pipeserve_native._workers import WorkerOptions
from pipeserve_native.client import SSLConfig as ClientSSLConfig
from pipeserve_native.server import _config, _loading, _servables, _versions
from pipeserve_native.server._ssl import SSLConfig, ssl_options
from pipeserve_native.server._state import STATE, stop_on_exception
from pipeserve_native.server.register import check_batch_dim

__all__ = ["declare_servable", "start_servable", "startup_agents"]


def declare_servable(
    rank_size: int,
    stage_size: int,
    with_batch_dim: bool = True,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> None:
    """In ``servable_config.py``: declares a servable whose graphs run in agents.

    Args:
        rank_size: Number of agents, 1 and up, as many as the rank table has.
        stage_size: Number of stages, of as many ranks each; it divides ``rank_size``. With more
            than one, the ranks of the first stage get the inputs of a call, or all ranks if all
            their graphs take inputs, and the last rank gives the result.
        with_batch_dim: See ``register.declare_servable``.
        without_batch_dim_inputs: See ``register.declare_servable``.

    Raises:
        InvalidArgumentError: An argument of another type or out of range, or a second declaration.
        FailedPreconditionError: Outside of ``servable_config.py``.
    """
    _checks.check_int("rank_size", rank_size, 1)
    _checks.check_int("stage_size", stage_size, 1)
    batch_dim, without = check_batch_dim(with_batch_dim, without_batch_dim_inputs)
    _registry.current().declare(DistributedDeclaration(rank_size, stage_size, batch_dim, without))


def script_path(path: str) -> str:
    """A path that is relative to the directory of the start script."""
    return os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), path)


def _check_heartbeat(heartbeat: float, dead_after: float) -> None:
    if not heartbeat >= 0.01:
        raise InvalidArgumentError("Parameter 'heartbeat_in_seconds' should be >= 0.01")
    if not heartbeat < dead_after <= 86_400:
        raise InvalidArgumentError(
            "Parameter 'dead_after_in_seconds' should be more than 'heartbeat_in_seconds', and at "
            "most a day"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class GroupLaunch(_versions.Launch):
    """Of a servable whose graphs run in agents."""

    options: _loading.GroupOptions
    wait_seconds: float | None
    """For the agents; None waits for ever."""

    def resolve(self, version: int) -> int:
        """0 is the newest version directory, or 1: there need be none."""
        return _config.find_config(self.directory, self.name, version)

    def load(self, server: _core.Server, running: _versions.Running, on_request_only: bool) -> None:
        """Opens a door for its agents and waits for them."""
        version = running.version
        options = dataclasses.replace(
            self.options, workers=running.workers, on_request_only=on_request_only
        )
        address, ranks = _loading.open_group(server, running.registry, version, options)
        _lifetime.announce(f"Serving: Waiting for {ranks} agents to register at {address}")
        server.wait_ready(self.name, version, self.wait_seconds)
        _servables.announce(running.registry, self.directory, version)


@stop_on_exception
def start_servable(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int = 1,
    distributed_address: str = "127.0.0.1:6200",
    wait_agents_time_in_seconds: int = 0,
    *,
    call_timeout_in_seconds: float = 10.0,
    heartbeat_in_seconds: float = 1.0,
    dead_after_in_seconds: float = 3.0,
    failover_timeout_in_seconds: float = 30.0,
    on_agent_failure: str = "restart",
    lane: str = "auto",
    wait: str = "last",
    max_inflight: int | None = None,
    workers: int = 0,
    worker_grace_in_seconds: float = 5.0,
    agents_ssl_config: SSLConfig | None = None,
    agent_token_file: str | None = None,
) -> None:
    """Waits for the agents of a servable; returns when all are ready and it can be called.

    As in MindSpore Serving, a failure stops the server before it is raised. What comes after
    ``wait_agents_time_in_seconds`` is new here.

    Args:
        servable_directory: The directory that holds the servable's.
        servable_name: Name of the servable and of its directory, which holds
            ``servable_config.py``. There need be no version directory.
        rank_table_json_file: Which rank is where; relative to the directory of the start script.
        version_number: What clients call it by; 0 is 1.
        distributed_address: Where the agents come to, ``ip:port``; port 0 picks a free one, which
            is printed. Agents of other machines need one that they reach; unlike MindSpore Serving
            the default is this machine alone. Without certificates of the agents or a token whoever
            reaches it can register.
        wait_agents_time_in_seconds: 0 waits for ever.
        call_timeout_in_seconds: For one graph call on all ranks. A longer one fails, and the agents
            form a new group.
        heartbeat_in_seconds: How often a silent agent is asked for a sign of life, 0.01 and up.
        dead_after_in_seconds: An agent that gives none for so long is lost, like one whose
            connection breaks. More than ``heartbeat_in_seconds``.
        failover_timeout_in_seconds: Graph calls that lose an agent, or find one missing, wait so
            long for all to be back and are then made again, unless the request's deadline comes
            before; 0: they raise UnavailableError at once. See ``replayable`` of
            ``register_pipeline``.
        on_agent_failure: "restart" goes on without the lost agent until its launcher has started it
            again. "stop" ends the whole server as soon as an agent is lost, as MindSpore Serving
            does.
        lane: How graph calls travel to the agents. "auto" shares memory with those of this host and
            takes gRPC to the others; "shm" and "grpc" force one, and "shm" fails where memory
            cannot be shared.
        wait: A graph call is done when the "last" rank, which gives the outputs, has answered, or
            when "all" have. With "last" the others may lag behind by at most eight calls; what
            fails on one of them fails the next call.
        max_inflight: Requests of this servable that run at once, 1 to 1024; None is as many as
            there are ``workers`` or, without, what ``configure`` says.
        workers: Processes that run the functions of ``servable_config.py``; see
            ``ServableStartConfig``.
        worker_grace_in_seconds: See ``ServableStartConfig``.
        agents_ssl_config: Files with which the agents' address speaks TLS; with ``verify_client``
            only agents with a certificate get in. None is no TLS.
        agent_token_file: A file with one line, 16 to 1024 characters, that agents and their
            launchers have to know. None takes the environment variable ``PIPESERVE_AGENT_TOKEN``;
            when that is empty, too, no token is asked for. Without TLS it travels in the clear.

    Raises:
        InvalidArgumentError: An argument of another type or out of range, a file that is no rank
            table, certificates or a token that cannot be used.
        NotFoundError: No such directory, config, rank table or token file.
        FailedPreconditionError: The config raised or declares another kind of servable, the rank
            table does not fit it, the agents did not start or do not fit each other; the text
            tells what.
        UnavailableError: ``distributed_address`` is in use or not of this machine.
        DeadlineExceededError: The agents have not come in time.
        AlreadyExistsError: That version runs already.
    """
    directory = _checks.check_str("servable_directory", servable_directory)
    name = _checks.check_str("servable_name", servable_name)
    _checks.check_str("rank_table_json_file", rank_table_json_file)
    _checks.check_int("version_number", version_number, 0)
    _checks.check_str("distributed_address", distributed_address)
    _checks.check_int("wait_agents_time_in_seconds", wait_agents_time_in_seconds, 0)
    if not call_timeout_in_seconds > 0:
        raise InvalidArgumentError("Parameter 'call_timeout_in_seconds' should be > 0")
    _check_heartbeat(heartbeat_in_seconds, dead_after_in_seconds)
    if not 0 <= failover_timeout_in_seconds <= 86_400:
        raise InvalidArgumentError(
            "Parameter 'failover_timeout_in_seconds' should be in range [0, 86400]"
        )
    _checks.check_choice("on_agent_failure", on_agent_failure, _checks.AGENT_FAILURES)
    _checks.check_choice("lane", lane, tuple(_loading.LANES))
    _checks.check_choice("wait", wait, _loading.WAITS)
    _checks.check_inflight(max_inflight)
    worker_options = WorkerOptions(
        count=_checks.check_workers(workers),
        grace=_checks.check_wait("worker_grace_in_seconds", worker_grace_in_seconds),
    )
    version = version_number or 1
    _config.check_config_file(directory, name, version)
    options = _loading.GroupOptions(
        rank_table_file=script_path(rank_table_json_file),
        address=distributed_address,
        call_timeout=call_timeout_in_seconds,
        heartbeat=heartbeat_in_seconds,
        dead_after=dead_after_in_seconds,
        failover_timeout=failover_timeout_in_seconds,
        on_agent_lost=STATE.stop_soon if on_agent_failure == "stop" else None,
        lane=lane,
        wait=wait,
        max_inflight=max_inflight,
        ssl=ssl_options(agents_ssl_config, "agents_ssl_config"),
        token=_token.read("agent_token_file", agent_token_file),
    )
    launch = GroupLaunch(
        directory, name, worker_options, options, wait_agents_time_in_seconds or None
    )
    try:
        _versions.start(launch, version, STATE.server)
    except Error as error:
        raise type(error)(f"Fail to start workers: {error}") from error


def startup_agents(
    distributed_address: str,
    model_files: Sequence[Sequence[str] | str],
    group_config_files: Sequence[Sequence[str] | str] | None = None,
    agent_start_port: int = 7000,
    agent_ip: str | None = None,
    rank_start: int | None = None,
    dec_key: bytes | None = None,
    dec_mode: str = "AES-GCM",
    *,
    threads: int | None = None,
    collectives: str = "auto",
    device: str = "auto",
    precision: str = "strict",
    deterministic: bool = False,
    overlap: bool = False,
    on_agent_failure: str = "restart",
    max_restarts: int | None = 10,
    heartbeat_in_seconds: float = 1.0,
    dead_after_in_seconds: float = 3.0,
    hccl: str = "root-info",
    ssl_config: ClientSSLConfig | None = None,
    token_file: str | None = None,
) -> None:
    """Starts this machine's agents; returns when all of them are ready.

    Waits up to two minutes for the server. The process then lives, and starts agents again that
    end, until the server stops, SIGINT or SIGTERM; no agent outlives it. What is given by name
    alone is new here.

    Args:
        distributed_address: Where the server waits for agents, ``ip:port``.
        model_files: Per agent its files; the index within them is the subgraph number. Relative
            paths are below the directory of the start script, as in MindSpore Serving.
        group_config_files: Per agent its ``group_config.pb``, at most one; None for graphs without
            collectives.
        agent_start_port: Of the first agent, 1 to 65528; the others have those that follow.
        agent_ip: This machine's, where the rank table's is none of this machine; with
            ``rank_start``.
        rank_start: The first rank of this machine; with ``agent_ip``.
        dec_key: Key of encrypted model files: 16, 24 or 32 bytes.
        dec_mode: "AES-GCM" or "AES-CBC".
        threads: Of one graph call in one agent; None divides this machine's cores by its agents.
        collectives: What carries what the ranks tell each other: ``"shm"``, ``"socket"``,
            ``"gloo"`` (in trusted networks only; all machines have to be told), or ``"auto"`` for
            shared memory if all ranks are on one host, else sockets.
        device: Where graphs run: ``"cpu"``, ``"ascend"``, or ``"auto"`` for Ascend if its runtime
            and a device are found, else the CPU.
        precision: Of a MatMul of float32 on Ascend: ``"strict"``, ``"hf32"`` or ``"fp16"``.
        deterministic: The same bits for the same inputs on Ascend, at the price of speed.
        overlap: Whether copies to and from Ascend overlap with computing: two calls are on the
            device at a time, with twice the memory. No result changes.
        on_agent_failure: "restart" starts an agent again that ended or gives no sign of life, after
            0.1 s, twice as long each time up to 10 s. "stop" ends the others, too, as MindSpore
            Serving does.
        max_restarts: Of one agent within ten minutes; one more ends all agents, and the server is
            told. None is no limit.
        heartbeat_in_seconds: How often an agent gives a sign of life, 0.01 and up.
        dead_after_in_seconds: An agent that gives none for so long is killed.
        hccl: What ranks on Ascend find each other by: ``"root-info"``, or ``"rank-table"`` for the
            server's rank table, which serves the first group of all ranks in the life of an agent;
            later ones, and groups of some ranks, are made by root information.
        ssl_config: Files with which this launcher and its agents speak TLS to the server, a
            ``client.SSLConfig``: the names or IPs in the server's certificate have to cover
            ``distributed_address``. None is no TLS.
        token_file: A file with the server's token. None takes the environment variable
            ``PIPESERVE_AGENT_TOKEN``.

    Raises:
        InvalidArgumentError: An argument of another type or out of range, files in another number
            than the rank table has ranks of this machine.
        NotFoundError: A file cannot be read.
        UnavailableError: There is no server at that address, or its TLS does not fit.
        UnauthenticatedError: The server wants another token.
        FailedPreconditionError: No address of the rank table is this machine's, or an agent did not
            start; the text has its reason.
    """
    _checks.check_str("distributed_address", distributed_address)
    _checks.check_int("agent_start_port", agent_start_port, 1, 65535 - 7)
    models = _checks.check_nested_str_list("model_files", model_files)
    groups = None
    if group_config_files is not None:
        groups = _checks.check_nested_str_list("group_config_files", group_config_files)
    key, mode = _checks.check_decryption(dec_key, dec_mode)
    _checks.check_threads(threads)
    _checks.check_choice("collectives", collectives, _checks.COLLECTIVES)
    _checks.check_choice("device", device, _checks.DEVICES)
    _checks.check_choice("precision", precision, _checks.PRECISIONS)
    _checks.check_bool("deterministic", deterministic)
    _checks.check_bool("overlap", overlap)
    _checks.check_choice("on_agent_failure", on_agent_failure, _checks.AGENT_FAILURES)
    if max_restarts is not None:
        _checks.check_int("max_restarts", max_restarts, 0)
    _check_heartbeat(heartbeat_in_seconds, dead_after_in_seconds)
    _checks.check_choice("hccl", hccl, _checks.HCCL_WAYS)
    if ssl_config is not None and not isinstance(ssl_config, ClientSSLConfig):
        raise InvalidArgumentError("The type of ssl_config should be type of client.SSLConfig")
    _launcher.startup_agents(
        _launcher.Request(
            model_files=[[script_path(file) for file in files] for files in models],
            group_config_files=groups
            and [[script_path(file) for file in files] for files in groups],
            agent_start_port=agent_start_port,
            agent_ip=agent_ip,
            rank_start=rank_start,
            key=key,
            mode=mode,
            threads=threads,
            collectives=collectives,
            device=device,
            precision=precision,
            deterministic=deterministic,
            overlap=overlap,
            on_agent_failure=on_agent_failure,
            max_restarts=max_restarts,
            heartbeat=heartbeat_in_seconds,
            dead_after=dead_after_in_seconds,
            hccl=hccl,
            door=_launcher.Door(
                address=distributed_address,
                ssl=ssl_config,
                token=_token.read("token_file", token_file),
                token_file=token_file,
            ),
        )
    )
