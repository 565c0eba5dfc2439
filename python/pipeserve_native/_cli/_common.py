"""What the commands share."""

from __future__ import annotations

import argparse
from typing import Any


class UsageError(Exception):
    """The arguments make no sense together."""


def add_command(commands: Any, name: str, *, examples: str, **texts: str) -> Any:
    """The parser of a command."""
    return commands.add_parser(
        name,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **texts,
    )


def add_heartbeat(parser: argparse.ArgumentParser) -> None:
    """The flags about signs of life, which both ends have."""
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
