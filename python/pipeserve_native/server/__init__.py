"""Starts servables and the doors through which clients call them.

    server.start_servables(server.ServableStartConfig(directory, "calculator", device_ids=0))
    server.start_grpc_server("127.0.0.1:5500")
    server.start_restful_server("127.0.0.1:1500")

The process then lives until ``stop()``, SIGINT or SIGTERM.
"""

from __future__ import annotations

import os

from pipeserve_native import _checks, _core, _lifetime
from pipeserve_native.server import _admin, distributed, master, register
from pipeserve_native.server._lifecycle import (
    load_version,
    roll_back,
    status,
    switch_version,
    unload_version,
)
from pipeserve_native.server._servables import ServableStartConfig, start_servables
from pipeserve_native.server._ssl import SSLConfig, ssl_options
from pipeserve_native.server._state import STATE, stop_on_exception

__all__ = [
    "SSLConfig",
    "ServableStartConfig",
    "configure",
    "counters",
    "distributed",
    "load_version",
    "master",
    "register",
    "roll_back",
    "start_admin_server",
    "start_grpc_server",
    "start_restful_server",
    "start_servables",
    "status",
    "stop",
    "switch_version",
    "unload_version",
]


def _message_bytes(max_msg_mb_size: int) -> int:
    return _checks.check_int("max_msg_mb_size", max_msg_mb_size, 1, 512) << 20


def configure(
    *,
    max_inflight: int = 4,
    max_enqueued_bytes: int = 1 << 30,
    max_request_seconds: float | None = None,
    drain_seconds: float = 30.0,
) -> None:
    """Options of the server that is started next, which is to say: call it first.

    Args:
        max_inflight: Requests of one servable that run at once, 1 to 1024.
        max_enqueued_bytes: Bytes of the input tensors of all requests that wait or run; a request
            beyond it is refused at once with RESOURCE_EXHAUSTED (REST: 429 and Retry-After).
        max_request_seconds: From the admission of a request to its answer, 0.001 to a year,
            whatever deadline the client and the pipeline give it; None is no maximum. REST clients
            give theirs with the header X-Request-Timeout-Ms.
        drain_seconds: How long ``stop``, SIGINT and SIGTERM let the requests go on that are in the
            server, 0 and up. What is not answered by then is given up: its client gets UNAVAILABLE
            (REST: 503), and its function notices at the next ``run``.

    Raises:
        InvalidArgumentError: Other types, and values out of range. Nothing is changed then.
    """
    STATE.configure(max_inflight, max_enqueued_bytes, max_request_seconds, drain_seconds)


def counters() -> dict[str, int]:
    """What this process has done so far; figures per request are differences of these.

    Returns:
        ``copied_bytes``, of tensors, from one place in memory to another by the core;
            ``thread_wakeups``, how often a thread of the core went on after it slept;
            ``page_faults`` of the whole process by the kernel's count, those that read no disk.
    """
    return _core.counters()


@stop_on_exception
def start_grpc_server(
    address: str,
    max_msg_mb_size: int = 100,
    ssl_config: SSLConfig | None = None,
    *,
    max_connections: int = 1000,
) -> None:
    """Opens the gRPC door. Prints where it listens; servables may be started before or after.

    As in MindSpore Serving, a failure stops the server before it is raised.

    Args:
        address: ``ip:port``, where port 0 picks a free one, or ``unix:<path>``.
        max_msg_mb_size: Limit of a message in either direction, 1 to 512, in MB of 2**20 bytes.
        ssl_config: Files for TLS; None is none.
        max_connections: That may be open at once, 1 and up; one more is closed as it comes.

    Raises:
        InvalidArgumentError: An argument of another type or out of range, an address that is none,
            files that cannot be used.
        AlreadyExistsError: It is open already.
        UnavailableError: The address is in use or not of this machine.
    """
    _checks.check_str("address", address)
    prefix, _, path = address.partition(":")
    if prefix == "unix" and path:
        address = f"unix:{os.path.abspath(path)}"
    bound = STATE.server.start_grpc(
        address,
        max_message_bytes=_message_bytes(max_msg_mb_size),
        ssl=ssl_options(ssl_config),
        max_connections=_checks.check_int("max_connections", max_connections, 1, 1_000_000),
    )
    _lifetime.announce(f"Serving: Serving gRPC server start success, listening on {bound}")


@stop_on_exception
def start_restful_server(
    address: str,
    max_msg_mb_size: int = 100,
    ssl_config: SSLConfig | None = None,
    *,
    http_status_codes: bool = False,
    max_connections: int = 1000,
) -> None:
    """Opens the REST door. Prints where it listens; servables may be started before or after.

    As in MindSpore Serving, a failure stops the server before it is raised.

    Args:
        address: ``ip:port``, where port 0 picks a free one.
        max_msg_mb_size: Limit of a request's body, 1 to 512, in MB of 2**20 bytes.
        ssl_config: Files for TLS; None is none.
        http_status_codes: Errors have HTTP status codes. MindSpore Serving's are all 200.
        max_connections: That may be open at once, 1 and up; one more is closed as it comes.

    Raises:
        InvalidArgumentError: An argument of another type or out of range, an address that is none,
            files that cannot be read.
        AlreadyExistsError: It is open already.
        UnavailableError: The address is in use or not of this machine.
    """
    _checks.check_str("address", address)
    _checks.check_bool("http_status_codes", http_status_codes)
    bound = STATE.server.start_rest(
        address,
        max_message_bytes=_message_bytes(max_msg_mb_size),
        ssl=ssl_options(ssl_config),
        max_connections=_checks.check_int("max_connections", max_connections, 1, 1_000_000),
        http_status_codes=http_status_codes,
    )
    _lifetime.announce(f"Serving: Serving RESTful server start success, listening on {bound}")


@stop_on_exception
def start_admin_server(
    address: str = "127.0.0.1:1600",
    ssl_config: SSLConfig | None = None,
    *,
    max_connections: int = 64,
) -> None:
    """Opens the door for whoever operates the server. Prints where it listens.

    It speaks HTTP and JSON: ``GET /v2/status`` is ``status()``, and ``POST
    /v2/repository/models/<servable>/load``, ``switch``, ``unload`` and ``rollback`` are
    ``load_version`` and so on, with an object ``{"parameters": {"version": 2}}``. The commands
    ``pipeserve status``, ``load``, ``switch``, ``unload`` and ``rollback`` use it. Whoever reaches
    it can replace what is served: keep it on this machine, or have it verify certificates.

    As in MindSpore Serving, a failure stops the server before it is raised.

    Args:
        address: ``ip:port``, where port 0 picks a free one.
        ssl_config: Files for TLS; with ``verify_client`` only who has a certificate gets in.
        max_connections: That may be open at once, 1 and up; one more is closed as it comes.

    Raises:
        InvalidArgumentError: An argument of another type or out of range, an address that is none,
            files that cannot be read.
        AlreadyExistsError: It is open already.
        UnavailableError: The address is in use or not of this machine.
    """
    _checks.check_str("address", address)
    bound = STATE.server.start_admin(
        address,
        _admin.actions(),
        ssl=ssl_options(ssl_config),
        max_connections=_checks.check_int("max_connections", max_connections, 1, 1_000_000),
    )
    _lifetime.announce(f"Serving: Serving admin server start success, listening on {bound}")


def stop() -> None:
    """Stops the server: idempotent, and done when it returns.

    New requests are refused, and those that are in the server finished, for as long as
    ``configure`` says (``drain_seconds``); then the doors are closed and the agents end. SIGINT and
    SIGTERM do the same. Afterwards a new server can be started in this process.
    """
    STATE.stop()
