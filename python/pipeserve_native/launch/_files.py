"""The files of a folder, on their way to another machine."""

from __future__ import annotations

import os
from collections.abc import Mapping


def read_files(folder: str) -> dict[str, bytes]:
    """All files but Python's caches, by their path in the folder."""
    content = {}
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if name != "__pycache__"]
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                content[os.path.relpath(path, folder)] = file.read()
    return content


def write_files(folder: str, content: Mapping[str, bytes]) -> None:
    """Makes the folder again."""
    os.makedirs(folder, exist_ok=True)
    for name, data in content.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
