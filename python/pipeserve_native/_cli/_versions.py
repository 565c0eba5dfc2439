"""The commands ``pipeserve load``, ``switch``, ``unload`` and ``rollback``."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from typing import Any

from pipeserve_native._cli._admin_client import AdminClient, AdminError, add_door
from pipeserve_native._cli._common import add_command

EXAMPLES = """  pipeserve load matmul
  pipeserve load matmul --version-number 3 --keep-previous
  pipeserve rollback matmul
"""

_LOOK_SECONDS = 0.5


def add(commands: Any) -> None:
    """Adds the commands."""
    _add_load(commands)
    parser = _add(
        commands,
        "switch",
        "  pipeserve switch matmul 3\n",
        "lead requests to another loaded version",
        "Requests that name no version come to this one from now on, all at once.\n"
        "Both stay loaded.",
    )
    parser.add_argument("version", type=int)
    parser = _add(
        commands,
        "unload",
        "  pipeserve unload matmul 2\n",
        "end a version when its requests are answered",
        "Ends a version when the requests that it has are answered; its agents are told to exit.",
    )
    parser.add_argument("version", type=int)
    _add_drain(parser)
    parser = _add(
        commands,
        "rollback",
        "  pipeserve rollback matmul\n",
        "go back to the version before",
        "Switches to the version that requests came to before the last switch. It is loaded again\n"
        "when it has been unloaded.",
    )
    _add_keep(parser)
    _add_drain(parser)


def _add(commands: Any, name: str, examples: str, text: str, description: str) -> Any:
    parser = add_command(commands, name, examples=examples, help=text, description=description)
    parser.add_argument("servable")
    add_door(parser)
    parser.set_defaults(run=_act)
    return parser


def _add_load(commands: Any) -> None:
    parser = _add(
        commands,
        "load",
        EXAMPLES,
        "replace a servable's version without a failed request",
        "Loads a version of a running servable beside the one that runs and warms it up. Then\n"
        "requests come to the new one, all at once; the old one finishes those that it has and is\n"
        "unloaded. If anything fails, the old one just goes on.",
    )
    parser.add_argument(
        "--version-number", type=int, default=0, help="0, the default, is the newest"
    )
    parser.add_argument(
        "--no-switch",
        action="store_true",
        help="only requests that name the new version come to it until 'pipeserve switch'",
    )
    _add_keep(parser)
    _add_drain(parser)
    group = parser.add_argument_group("of a distributed servable")
    group.add_argument(
        "--distributed-address",
        metavar="ADDRESS",
        help="where the agents of the new version register (default: a free port, which is shown)",
    )
    group.add_argument("--rank-table", metavar="FILE", help="default: that of the old version")
    group.add_argument(
        "--wait-agents",
        type=float,
        metavar="SECONDS",
        help="default: as long as when it was started; 0 waits for ever",
    )


def _add_keep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-previous",
        action="store_true",
        help="the old version stays loaded, so that a rollback is done at once",
    )


def _add_drain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="what the old version has not answered by then is given up (default: %(default)s)",
    )


def _parameters(args: argparse.Namespace) -> dict[str, Any]:
    given: dict[str, Any] = {
        "version": getattr(args, "version", None),
        "drain_seconds": getattr(args, "drain_seconds", None),
        "keep_previous": getattr(args, "keep_previous", None),
    }
    if args.command == "load":
        given |= {
            "version": args.version_number,
            "switch": not args.no_switch,
            "distributed_address": args.distributed_address,
            "rank_table": args.rank_table and os.path.abspath(args.rank_table),
            "wait_agents_seconds": args.wait_agents,
        }
    return {name: value for name, value in given.items() if value is not None}


def _show_progress(client: AdminClient, servable: str, done: threading.Event) -> None:
    """Says what changes until it is done."""
    shown: dict[int, str] = {}
    while not done.wait(_LOOK_SECONDS):
        try:
            servables = client.status()["servables"]
        except AdminError:
            continue  # Whether the server is there the action itself will tell.
        for state in servables:
            if state["name"] != servable or state["state"] == "READY":
                continue
            text = f"version {state['version']}: {state['state']}"
            if group := state.get("group"):
                joined = sum(agent["state"] != "absent" for agent in group["agents"])
                text += f", {joined} of {len(group['agents'])} agents are at {group['address']}"
            if state["state"] == "UNLOADING":
                text += f", {state['waiting'] + state['running']} requests to finish"
            if shown.get(state["version"]) != text:
                shown[state["version"]] = text
                print(text, file=sys.stderr, flush=True)


def _act(args: argparse.Namespace) -> None:
    client = AdminClient(args)
    done = threading.Event()
    progress = threading.Thread(
        target=_show_progress, args=(client, args.servable, done), daemon=True
    )
    progress.start()
    try:
        result = client.act(args.servable, args.command, _parameters(args))
    except KeyboardInterrupt:
        print(
            f"the server goes on with it, see 'pipeserve status'; 'pipeserve unload {args.servable}"
            " VERSION' gives up a version that is being loaded",
            file=sys.stderr,
        )
        raise
    finally:
        done.set()
    did = {"load": "loaded", "switch": "switched to", "unload": "unloaded"}
    print(f"{args.servable}: {did.get(args.command, 'rolled back to')} version {result['version']}")
