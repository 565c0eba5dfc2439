"""The command ``pipeserve infer``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeserve_native._cli._common import UsageError, add_command
from pipeserve_native.client import Client

EXAMPLES = """  pipeserve infer localhost:5500 matmul predict --input x=x.npy --input y=y.npy
  pipeserve infer localhost:5500 images classify --input image=photo.png
  pipeserve infer localhost:5500 thermometer convert --json '{"celsius": [0.0, 37.0]}'
"""

_INT32 = np.iinfo(np.int32)


def add(commands: Any) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "infer",
        examples=EXAMPLES,
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
            raise UsageError(f"--input should be NAME=FILE, but is {item}")
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
        raise UsageError(f"--json: {name} is no array: {error}") from error
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "i":
        if array.size and not (_INT32.min <= array.min() and array.max() <= _INT32.max):
            raise UsageError(f"--json: {name} does not fit into int32; use --input")
        return array.astype(np.int32)
    if array.dtype.kind not in "bU":
        raise UsageError(f"--json: {name} should be numbers or text, but is {value}")
    return array


def _read_json(text: str) -> list[dict[str, Any]]:
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--json: {error}") from error
    instances = parsed if isinstance(parsed, list) else [parsed]
    if not all(isinstance(instance, dict) for instance in instances):
        raise UsageError("--json should be an object or a list of objects")
    return [{name: _to_input(name, value) for name, value in item.items()} for item in instances]


def _infer(args: argparse.Namespace) -> int:
    client = Client(args.address, args.servable, args.method, args.version_number)
    instances = [_read_inputs(args.input)] if args.input else _read_json(args.json)
    reply = client.infer(instances)
    for item in reply if isinstance(reply, list) else [reply]:
        for name, value in item.items():
            print(f"{name}: {value}")
    return 0 if isinstance(reply, list) and not any("error" in item for item in reply) else 1
