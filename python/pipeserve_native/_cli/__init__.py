"""The command ``pipeserve``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from pipeserve_native import __version__, _demo
from pipeserve_native._cli import _agent, _infer, _serve, _status, _versions
from pipeserve_native._cli._common import UsageError, add_command

_EXPORT_EXAMPLES = """  pipeserve export-demo demo
"""


def _add_export_demo(commands: Any) -> None:
    parser = add_command(
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
        + "".join(
            (
                _EXPORT_EXAMPLES,
                _serve.EXAMPLES,
                _agent.EXAMPLES,
                _infer.EXAMPLES,
                _status.EXAMPLES,
                _versions.EXAMPLES,
            )
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pipeserve {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _serve.add,
        _agent.add,
        _infer.add,
        _status.add,
        _versions.add,
        _add_export_demo,
    ):
        add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0 is success, 1 failure, 2 wrong usage."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except UsageError as error:
        print(f"pipeserve {args.command}: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError, ValueError) as error:
        print(f"pipeserve {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
