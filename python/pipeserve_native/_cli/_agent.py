"""The command ``pipeserve agent``."""

from __future__ import annotations

import argparse
from typing import Any

from pipeserve_native import _checks, _model_folders
from pipeserve_native._cli._common import UsageError, add_command, add_heartbeat
from pipeserve_native.client import SSLConfig
from pipeserve_native.server import distributed

EXAMPLES = """  pipeserve agent 127.0.0.1:6200 --models demo/model
"""


def add(commands: Any) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "agent",
        examples=EXAMPLES,
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
    add_heartbeat(parser)
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
        raise UsageError("--ssl-certificate and --ssl-private-key go together")
    ssl_files = (args.ssl_certificate, args.ssl_private_key, args.ssl_ca)
    folders = _model_folders.device_folders(args.models)
    if not folders:
        raise UsageError(f"there is no directory device<r> in {args.models}")
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
