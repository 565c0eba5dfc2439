"""The command ``pipeserve serve``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from pipeserve_native import _checks, server
from pipeserve_native._cli._admin_client import DEFAULT_ADDRESS
from pipeserve_native._cli._common import UsageError, add_command, add_heartbeat
from pipeserve_native._errors import UnavailableError
from pipeserve_native._registry import DistributedDeclaration
from pipeserve_native.server import _config, distributed

EXAMPLES = """  pipeserve serve thermometer
  pipeserve serve demo/matmul --rank-table demo/rank_table_8pcs.json
"""


def add(commands: Any) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "serve",
        examples=EXAMPLES,
        help="serve one servable",
        description="Serves the servable in DIR, which holds servable_config.py, until Ctrl-C.",
    )
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--name", help="must be the name of DIR, which is the default")
    parser.add_argument("--version-number", type=int, default=0, help="0 is the newest")
    parser.add_argument("--grpc-address", default="127.0.0.1:5500", help="'' for none")
    parser.add_argument("--rest-address", default="127.0.0.1:1500", help="'' for none")
    parser.add_argument(
        "--admin-address",
        default=DEFAULT_ADDRESS,
        help="where 'pipeserve status', 'load', ... ask (default: %(default)s; '' for none)",
    )
    parser.add_argument("--rank-table", help="of a distributed servable")
    parser.add_argument("--distributed-address", default="127.0.0.1:6200")
    parser.add_argument("--wait-agents", type=int, default=0, metavar="SECONDS")
    parser.add_argument(
        "--max-inflight",
        type=int,
        help="requests that run at once (default: 4, or as many as workers)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="processes that run the servable's functions (default: %(default)s, this one does)",
    )
    parser.add_argument(
        "--worker-grace",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how long one may go on with a request that was given up (default: %(default)s)",
    )
    parser.add_argument(
        "--max-enqueued-bytes",
        type=int,
        default=1 << 30,
        metavar="BYTES",
        help="of the inputs of requests that wait or run; more are refused",
    )
    parser.add_argument(
        "--max-request-seconds",
        type=float,
        metavar="SECONDS",
        help="from a request to its answer; no maximum by default",
    )
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long requests may go on after SIGTERM or Ctrl-C (default: %(default)s)",
    )
    parser.add_argument("--max-msg-mb", type=int, default=100, help="size limit of a message")
    parser.add_argument(
        "--threads", type=int, help="of one graph call in this process (default: all cores)"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "ascend"),
        help="where the graphs run of a servable that is not distributed (default: OM models on "
        "Ascend, others on the CPU)",
    )
    parser.add_argument(
        "--device-id", type=int, default=0, metavar="N", help="with --device ascend"
    )
    parser.add_argument(
        "--call-timeout",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="for one graph call on all agents",
    )
    add_heartbeat(parser)
    parser.add_argument(
        "--failover-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long requests wait for lost agents to come back; 0: they fail at once "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--on-agent-failure",
        choices=_checks.AGENT_FAILURES,
        default="restart",
        help="stop: the server ends with the first agent that is lost",
    )
    parser.add_argument(
        "--lane",
        choices=("auto", "shm", "grpc"),
        default="auto",
        help="how graph calls travel to agents; auto: shared memory on this host, else gRPC",
    )
    parser.add_argument(
        "--wait",
        choices=("last", "all"),
        default="last",
        help="a graph call is done when the last rank, or when all ranks have answered",
    )
    parser.add_argument(
        "--max-connections",
        type=int,
        default=1000,
        metavar="N",
        help="of one door, that may be open at once (default: %(default)s)",
    )
    parser.add_argument(
        "--http-status-codes", action="store_true", help="REST errors are not all 200"
    )
    tls = parser.add_argument_group("TLS, on both doors")
    tls.add_argument("--ssl-certificate", metavar="FILE")
    tls.add_argument("--ssl-private-key", metavar="FILE")
    tls.add_argument("--ssl-client-ca", metavar="FILE", help="clients must show a certificate")
    admin = parser.add_argument_group("TLS, on --admin-address")
    admin.add_argument("--admin-ssl-certificate", metavar="FILE")
    admin.add_argument("--admin-ssl-private-key", metavar="FILE")
    admin.add_argument("--admin-ssl-ca", metavar="FILE", help="operators must show a certificate")
    agents = parser.add_argument_group("who may come to --distributed-address")
    agents.add_argument("--agents-ssl-certificate", metavar="FILE")
    agents.add_argument("--agents-ssl-private-key", metavar="FILE")
    agents.add_argument("--agents-ssl-ca", metavar="FILE", help="agents must show a certificate")
    agents.add_argument(
        "--agent-token-file",
        metavar="FILE",
        help="agents must know what is in it (default: the environment's PIPESERVE_AGENT_TOKEN)",
    )
    parser.set_defaults(run=_serve)


def _ssl_config(args: argparse.Namespace, prefix: str, ca: str) -> server.SSLConfig | None:
    """From the flags that begin with ``prefix``; ``ca`` is the one that has others verified."""
    files = {flag: _value(args, flag) for flag in (f"{prefix}certificate", f"{prefix}private-key")}
    authorities = _value(args, ca)
    certificate, key = files.values()
    if (certificate is None) != (key is None):
        raise UsageError(" and ".join(files) + " go together")
    if certificate is None or key is None:
        if authorities is not None:
            raise UsageError(f"{ca} goes with {prefix}certificate")
        return None
    return server.SSLConfig(certificate, key, authorities, authorities is not None)


def _value(args: argparse.Namespace, flag: str) -> str | None:
    value: str | None = getattr(args, flag.removeprefix("--").replace("-", "_"))
    return value


def _start_admin(address: str, ssl_config: server.SSLConfig | None) -> None:
    try:
        server.start_admin_server(address, ssl_config)
    except UnavailableError as error:
        raise UnavailableError(f"{error}; --admin-address takes another one, '' none") from error


def _serve(args: argparse.Namespace) -> None:
    parent, name = os.path.split(os.path.realpath(args.directory))
    if args.name not in (None, name):
        raise UsageError(f"--name is {args.name}, but the directory is called {name}")
    ssl_config = _ssl_config(args, "--ssl-", "--ssl-client-ca")
    admin_ssl_config = _ssl_config(args, "--admin-ssl-", "--admin-ssl-ca")
    agents_ssl_config = _ssl_config(args, "--agents-ssl-", "--agents-ssl-ca")
    version = _config.find_config(parent, name, args.version_number)
    declaration = _config.load_config(parent, name, version).declaration
    is_distributed = isinstance(declaration, DistributedDeclaration)
    if is_distributed and args.rank_table is None:
        raise UsageError(f"{name} is declared as distributed: --rank-table is needed")
    if is_distributed and args.device is not None:
        raise UsageError(f"{name} is declared as distributed: --device is told to its agents")
    server.configure(
        max_inflight=4 if args.max_inflight is None else args.max_inflight,
        max_enqueued_bytes=args.max_enqueued_bytes,
        max_request_seconds=args.max_request_seconds,
        drain_seconds=args.drain_seconds,
    )
    if args.admin_address:  # First: it tells what the rest waits for.
        _start_admin(args.admin_address, admin_ssl_config)
    if is_distributed:
        distributed.start_servable(
            parent,
            name,
            os.path.abspath(args.rank_table),
            version,
            args.distributed_address,
            args.wait_agents,
            call_timeout_in_seconds=args.call_timeout,
            heartbeat_in_seconds=args.heartbeat,
            dead_after_in_seconds=args.dead_after,
            failover_timeout_in_seconds=args.failover_timeout,
            on_agent_failure=args.on_agent_failure,
            lane=args.lane,
            wait=args.wait,
            max_inflight=args.max_inflight,
            workers=args.workers,
            worker_grace_in_seconds=args.worker_grace,
            agents_ssl_config=agents_ssl_config,
            agent_token_file=args.agent_token_file,
        )
    else:
        config = server.ServableStartConfig(
            parent,
            name,
            args.device_id,
            args.version_number,
            args.device,
            threads=args.threads,
            max_inflight=args.max_inflight,
            workers=args.workers,
            worker_grace_in_seconds=args.worker_grace,
        )
        server.start_servables(config)
    if args.grpc_address:
        server.start_grpc_server(
            args.grpc_address, args.max_msg_mb, ssl_config, max_connections=args.max_connections
        )
    if args.rest_address:
        server.start_restful_server(
            args.rest_address,
            args.max_msg_mb,
            ssl_config,
            http_status_codes=args.http_status_codes,
            max_connections=args.max_connections,
        )
