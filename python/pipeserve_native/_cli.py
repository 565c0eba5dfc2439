"""The command ``pipeserve``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeserve_native import __version__, _checks, _demo, _model_folders, server
from pipeserve_native._registry import DistributedDeclaration
from pipeserve_native.client import Client, SSLConfig
from pipeserve_native.server import _config, distributed

_SERVE_EXAMPLES = """  pipeserve serve thermometer
  pipeserve serve demo/matmul --rank-table demo/rank_table_8pcs.json
"""
_AGENT_EXAMPLES = """  pipeserve agent 127.0.0.1:6200 --models demo/model
"""
_INFER_EXAMPLES = """  pipeserve infer localhost:5500 matmul predict --input x=x.npy --input y=y.npy
  pipeserve infer localhost:5500 images classify --input image=photo.png
  pipeserve infer localhost:5500 thermometer convert --json '{"celsius": [0.0, 37.0]}'
"""
_EXPORT_EXAMPLES = """  pipeserve export-demo demo
"""


_INT32 = np.iinfo(np.int32)


class _UsageError(Exception):
    """The arguments make no sense together."""


def _add_command(commands: Any, name: str, *, examples: str, **texts: str) -> Any:
    return commands.add_parser(
        name,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **texts,
    )


def _add_serve(commands: Any) -> None:
    parser = _add_command(
        commands,
        "serve",
        examples=_SERVE_EXAMPLES,
        help="serve one servable",
        description="Serves the servable in DIR, which holds servable_config.py, until Ctrl-C.",
    )
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--name", help="must be the name of DIR, which is the default")
    parser.add_argument("--version-number", type=int, default=0, help="0 is the newest")
    parser.add_argument("--grpc-address", default="127.0.0.1:5500", help="'' for none")
    parser.add_argument("--rest-address", default="127.0.0.1:1500", help="'' for none")
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
    _add_heartbeat(parser)
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


def _add_heartbeat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--heartbeat",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how often an agent gives a sign of life (default: %(default)s)",
    )
    parser.add_argument(
        "--dead-after",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="an agent that gives none for so long is given up (default: %(default)s)",
    )


def _ssl_config(args: argparse.Namespace, prefix: str, ca: str) -> server.SSLConfig | None:
    """From the flags that begin with ``prefix``; ``ca`` is the one that has others verified."""
    files = {flag: _value(args, flag) for flag in (f"{prefix}certificate", f"{prefix}private-key")}
    authorities = _value(args, ca)
    certificate, key = files.values()
    if (certificate is None) != (key is None):
        raise _UsageError(" and ".join(files) + " go together")
    if certificate is None or key is None:
        if authorities is not None:
            raise _UsageError(f"{ca} goes with {prefix}certificate")
        return None
    return server.SSLConfig(certificate, key, authorities, authorities is not None)


def _value(args: argparse.Namespace, flag: str) -> str | None:
    value: str | None = getattr(args, flag.removeprefix("--").replace("-", "_"))
    return value


def _serve(args: argparse.Namespace) -> None:
    parent, name = os.path.split(os.path.realpath(args.directory))
    if args.name not in (None, name):
        raise _UsageError(f"--name is {args.name}, but the directory is called {name}")
    ssl_config = _ssl_config(args, "--ssl-", "--ssl-client-ca")
    agents_ssl_config = _ssl_config(args, "--agents-ssl-", "--agents-ssl-ca")
    _config.check_config_file(parent, name)
    declaration = _config.load_config(parent, name).declaration
    server.configure(
        max_inflight=4 if args.max_inflight is None else args.max_inflight,
        max_enqueued_bytes=args.max_enqueued_bytes,
        max_request_seconds=args.max_request_seconds,
    )
    if isinstance(declaration, DistributedDeclaration):
        if args.rank_table is None:
            raise _UsageError(f"{name} is declared as distributed: --rank-table is needed")
        if args.device is not None:
            raise _UsageError(f"{name} is declared as distributed: --device is told to its agents")
        distributed.start_servable(
            parent,
            name,
            os.path.abspath(args.rank_table),
            args.version_number,
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


def _add_agent(commands: Any) -> None:
    parser = _add_command(
        commands,
        "agent",
        examples=_AGENT_EXAMPLES,
        help="run this machine's agents",
        description="Starts the agents whose files are MODELS/device<r>/*.mindir, until Ctrl-C.\n"
        "Graphs are numbered in the order of their file names.",
    )
    parser.add_argument("address", metavar="ADDRESS", help="the server's distributed address")
    parser.add_argument("--models", required=True, metavar="DIR")
    parser.add_argument("--start-port", type=int, default=7000)
    parser.add_argument("--agent-ip", help="with --rank-start")
    parser.add_argument("--rank-start", type=int, help="with --agent-ip")
    parser.add_argument(
        "--threads", type=int, help="of one graph call (default: cores divided by agents)"
    )
    parser.add_argument(
        "--collectives",
        choices=_checks.COLLECTIVES,
        default="auto",
        help="what carries what the ranks tell each other; auto: shm if all are on one host, "
        "else socket; gloo: in trusted networks only",
    )
    parser.add_argument(
        "--device",
        choices=_checks.DEVICES,
        default="auto",
        help="where graphs run; auto: Ascend if its runtime and a device are found, else the CPU",
    )
    parser.add_argument(
        "--precision",
        choices=_checks.PRECISIONS,
        default="strict",
        help="of a MatMul of float32 on Ascend",
    )
    parser.add_argument(
        "--deterministic", action="store_true", help="the same bits for the same inputs on Ascend"
    )
    parser.add_argument(
        "--overlap",
        action="store_true",
        help="copies to and from Ascend overlap with computing, with twice the memory",
    )
    parser.add_argument(
        "--on-agent-failure",
        choices=_checks.AGENT_FAILURES,
        default="restart",
        help="what becomes of the others when an agent ends",
    )
    parser.add_argument(
        "--max-restarts",
        type=int,
        default=10,
        help="of one agent within ten minutes; -1 is no limit (default: %(default)s)",
    )
    _add_heartbeat(parser)
    parser.add_argument(
        "--hccl",
        choices=_checks.HCCL_WAYS,
        default="root-info",
        help="what ranks on Ascend find each other by",
    )
    door = parser.add_argument_group("to get in at the server")
    door.add_argument(
        "--token-file",
        metavar="FILE",
        help="the server's token (default: the environment's PIPESERVE_AGENT_TOKEN)",
    )
    door.add_argument("--ssl-ca", metavar="FILE", help="speak TLS, and verify the server by it")
    door.add_argument("--ssl-certificate", metavar="FILE", help="speak TLS, and show it")
    door.add_argument("--ssl-private-key", metavar="FILE")
    parser.set_defaults(run=_agent)


def _agent(args: argparse.Namespace) -> None:
    if (args.ssl_certificate is None) != (args.ssl_private_key is None):
        raise _UsageError("--ssl-certificate and --ssl-private-key go together")
    ssl_files = (args.ssl_certificate, args.ssl_private_key, args.ssl_ca)
    folders = _model_folders.device_folders(args.models)
    if not folders:
        raise _UsageError(f"there is no directory device<r> in {args.models}")
    model_files = [_model_folders.model_files(folder) for folder in folders]
    group_files = [files for folder in folders if (files := _model_folders.group_files(folder))]
    distributed.startup_agents(
        args.address,
        model_files,
        group_files or None,
        args.start_port,
        args.agent_ip,
        args.rank_start,
        threads=args.threads,
        collectives=args.collectives,
        device=args.device,
        precision=args.precision,
        deterministic=args.deterministic,
        overlap=args.overlap,
        on_agent_failure=args.on_agent_failure,
        max_restarts=None if args.max_restarts < 0 else args.max_restarts,
        heartbeat_in_seconds=args.heartbeat,
        dead_after_in_seconds=args.dead_after,
        hccl=args.hccl,
        ssl_config=SSLConfig(*ssl_files) if any(ssl_files) else None,
        token_file=args.token_file,
    )


def _add_infer(commands: Any) -> None:
    parser = _add_command(
        commands,
        "infer",
        examples=_INFER_EXAMPLES,
        help="call a method",
        description="Calls a method or pipeline and prints its result.",
    )
    parser.add_argument("address", metavar="ADDRESS")
    parser.add_argument("servable")
    parser.add_argument("method")
    parser.add_argument("--version-number", type=int, default=0, help="0 is the newest")
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument(
        "--input",
        action="append",
        metavar="NAME=FILE",
        help="one input: the array in a file *.npy, or the bytes of any other file",
    )
    inputs.add_argument(
        "--json",
        metavar="TEXT",
        help="one instance or a list of them; as over REST, integers are int32 and other numbers "
        "float32",
    )
    parser.set_defaults(run=_infer)


def _read_inputs(inputs: Sequence[str]) -> dict[str, Any]:
    instance = {}
    for item in inputs:
        name, equals, path = item.partition("=")
        if not equals or not name:
            raise _UsageError(f"--input should be NAME=FILE, but is {item}")
        if path.endswith(".npy"):
            instance[name] = np.load(path, allow_pickle=False)
        else:
            instance[name] = Path(path).read_bytes()
    return instance


def _to_input(name: str, value: Any) -> Any:
    """What a value of a JSON instance is over REST, too."""
    if isinstance(value, str):
        return value
    try:
        array = np.array(value)
    except ValueError as error:
        raise _UsageError(f"--json: {name} is no array: {error}") from error
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "i":
        if array.size and not (_INT32.min <= array.min() and array.max() <= _INT32.max):
            raise _UsageError(f"--json: {name} does not fit into int32; use --input")
        return array.astype(np.int32)
    if array.dtype.kind not in "bU":
        raise _UsageError(f"--json: {name} should be numbers or text, but is {value}")
    return array


def _read_json(text: str) -> list[dict[str, Any]]:
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        raise _UsageError(f"--json: {error}") from error
    instances = parsed if isinstance(parsed, list) else [parsed]
    if not all(isinstance(instance, dict) for instance in instances):
        raise _UsageError("--json should be an object or a list of objects")
    return [{name: _to_input(name, value) for name, value in item.items()} for item in instances]


def _infer(args: argparse.Namespace) -> int:
    client = Client(args.address, args.servable, args.method, args.version_number)
    instances = [_read_inputs(args.input)] if args.input else _read_json(args.json)
    reply = client.infer(instances)
    for item in reply if isinstance(reply, list) else [reply]:
        for name, value in item.items():
            print(f"{name}: {value}")
    return 0 if isinstance(reply, list) and not any("error" in item for item in reply) else 1


def _add_export_demo(commands: Any) -> None:
    parser = _add_command(
        commands,
        "export-demo",
        examples=_EXPORT_EXAMPLES,
        help="write a complete example",
        description="Writes a model of two graphs cut over eight ranks, its servable_config.py,\n"
        "a rank table and the three scripts that serve and call it.",
    )
    parser.add_argument("directory", metavar="DIR")
    parser.set_defaults(run=lambda args: _demo.write(args.directory))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pipeserve",
        description="Serves models of several graphs.",
        epilog="examples:\n"
        + "".join((_EXPORT_EXAMPLES, _SERVE_EXAMPLES, _AGENT_EXAMPLES, _INFER_EXAMPLES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pipeserve {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_serve, _add_agent, _add_infer, _add_export_demo):
        add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0 is success, 1 failure, 2 wrong usage."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except _UsageError as error:
        print(f"pipeserve {args.command}: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError, ValueError) as error:
        print(f"pipeserve {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
