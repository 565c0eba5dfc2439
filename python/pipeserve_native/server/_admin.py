"""What the admin door's actions do: the words of its messages, and who does them."""

from __future__ import annotations

import json
from typing import Any

from pipeserve_native import _core
from pipeserve_native._errors import InvalidArgumentError
from pipeserve_native.server import _lifecycle

_TYPES: dict[str, type] = {
    "version": int,
    "switch": bool,
    "keep_previous": bool,
    "drain_seconds": float,
    "wait_agents_seconds": float,
    "distributed_address": str,
    "rank_table": str,
}
_PARAMETERS = {
    "load": tuple(_TYPES),
    "switch": ("version",),
    "unload": ("version", "drain_seconds"),
    "rollback": ("keep_previous", "drain_seconds"),
}


def _read_parameters(action: str, text: str) -> dict[str, Any]:
    """As in Triton's repository extension: an object with an object ``parameters``."""
    parameters = json.loads(text).get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidArgumentError("'parameters' should be an object")
    for name, value in parameters.items():
        if name not in _PARAMETERS[action]:
            raise InvalidArgumentError(
                f"{action} has no parameter '{name}', it has {', '.join(_PARAMETERS[action])}"
            )
        wanted = _TYPES[name]
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise InvalidArgumentError(
                f"parameter '{name}' should be {wanted.__name__}, but is {json.dumps(value)}"
            )
    return parameters


def act(action: str, servable: str, text: str) -> str:
    """Does what a message to the admin door asks for; the body of the answer."""
    given = _read_parameters(action, text)
    if action in ("switch", "unload") and "version" not in given:
        raise InvalidArgumentError(f"{action} needs the parameter 'version'")
    if action == "load":
        version = _lifecycle.load_version(
            servable,
            given.get("version", 0),
            switch=given.get("switch", True),
            keep_previous=given.get("keep_previous", False),
            drain_seconds=given.get("drain_seconds", _lifecycle.DRAIN_SECONDS),
            wait_agents_seconds=given.get("wait_agents_seconds"),
            distributed_address=given.get("distributed_address"),
            rank_table_json_file=given.get("rank_table"),
        )
    elif action == "rollback":
        version = _lifecycle.roll_back(
            servable,
            keep_previous=given.get("keep_previous", False),
            drain_seconds=given.get("drain_seconds", _lifecycle.DRAIN_SECONDS),
        )
    elif action == "switch":
        version = given["version"]
        _lifecycle.switch_version(servable, version)
    else:
        version = given["version"]
        _lifecycle.unload_version(
            servable, version, drain_seconds=given.get("drain_seconds", _lifecycle.DRAIN_SECONDS)
        )
    return json.dumps({"name": servable, "version": version})


def actions() -> _core.HostFunction:
    """For the core's admin door."""
    return _core.instance_function(act, "admin", 1)
