"""The folders ``device<r>`` that hold what each rank loads."""

from __future__ import annotations

import os

_PREFIX = "device"


def device_folders(models: str) -> list[str]:
    """Absolute paths, in the order of the ranks."""
    numbers = sorted(
        int(entry[len(_PREFIX) :])
        for entry in os.listdir(models)
        if entry.startswith(_PREFIX) and entry[len(_PREFIX) :].isdecimal()
    )
    return [os.path.abspath(os.path.join(models, f"{_PREFIX}{number}")) for number in numbers]


def model_files(folder: str) -> list[str]:
    """Paths of the graphs of a rank, in the order of their names; the n-th is subgraph n."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".mindir"))
    return [os.path.join(folder, name) for name in names]


def group_files(folder: str) -> list[str]:
    """The path of the file that says how the ranks are grouped, where there is one."""
    path = os.path.join(folder, "group_config.pb")
    return [path] if os.path.exists(path) else []
