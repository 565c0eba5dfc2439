"""The command ``pipeserve status``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pipeserve_native._cli._admin_client import AdminClient, add_door
from pipeserve_native._cli._common import add_command

EXAMPLES = """  pipeserve status
  pipeserve status --agents --watch 2
  pipeserve status --json
"""


def add(commands: Any) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "status",
        examples=EXAMPLES,
        help="what a server is doing",
        description="Shows the servables of a running server, their agents, epochs and queues.",
    )
    add_door(parser)
    parser.add_argument("--agents", action="store_true", help="show every agent")
    parser.add_argument("--json", action="store_true", help="show everything, for programs")
    parser.add_argument(
        "--watch",
        type=float,
        metavar="SECONDS",
        help="show it again and again, until Ctrl-C",
    )
    parser.set_defaults(run=_status)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines of aligned columns."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _row(servable: dict[str, Any]) -> list[object]:
    group = servable.get("group")
    agents, epoch = "-", "-"
    if group is not None:
        joined = sum(agent["state"] == "joined" for agent in group["agents"])
        agents, epoch = f"{joined}/{len(group['agents'])}", str(group["epoch_count"])
    return [
        servable["name"],
        f"{servable['version']}{' *' if servable['is_default'] else ''}",
        servable["state"],
        servable["waiting"],
        f"{servable['running']}/{servable['max_inflight']}",
        agents,
        epoch,
        ", ".join(servable["callables"]),
    ]


def describe(status: dict[str, Any], with_agents: bool) -> Iterator[str]:
    """The lines for a person."""
    doors = [
        f"{name} {status[f'{name}_address']}"
        for name in ("grpc", "rest", "admin")
        if status[f"{name}_address"]
    ]
    yield (
        f"{'ready' if status['ready'] else 'NOT READY'}; {'; '.join(doors)}; "
        f"requests {status['requests']}/{status['max_requests']}, "
        f"{status['bytes'] / 2**20:.1f}/{status['max_bytes'] / 2**20:.0f} MiB"
    )
    yield ""
    header = ["SERVABLE", "VERSION", "STATE", "WAITING", "RUNNING", "AGENTS", "EPOCH", "CALLABLES"]
    yield from table(header, [_row(servable) for servable in status["servables"]])
    for servable in status["servables"]:
        if servable["reason"]:
            yield f"{servable['name']} version {servable['version']}: {servable['reason']}"
    if any(servable["is_default"] for servable in status["servables"]):
        yield "* requests that name no version come to it"
    if with_agents:
        yield from _describe_agents(status["servables"])


def _describe_agents(servables: Sequence[dict[str, Any]]) -> Iterator[str]:
    for servable in servables:
        group = servable.get("group")
        if group is None:
            continue
        yield ""
        yield (
            f"{servable['name']} version {servable['version']}: agents register at "
            f"{group['address']}; {group['phase']}; epoch {group['epoch']}"
        )
        ranks_per_stage = len(group["agents"]) // group["stage_size"]
        rows = [
            [
                agent["rank"],
                agent["rank"] // ranks_per_stage,
                agent["ip"],
                agent["device"] or "-",
                agent["device_id"],
                agent["state"],
                agent["peer_address"] or "-",
            ]
            for agent in group["agents"]
        ]
        yield from table(["RANK", "STAGE", "HOST", "DEVICE", "ID", "STATE", "PEER"], rows)


def _status(args: argparse.Namespace) -> int:
    client = AdminClient(args)
    while True:
        status = client.status()
        if args.json:
            print(json.dumps(status, indent=2))
        else:
            print("\n".join(describe(status, args.agents)), flush=True)
        if args.watch is None:
            return 0 if status["ready"] else 1
        time.sleep(max(args.watch, 0.1))
        print()
