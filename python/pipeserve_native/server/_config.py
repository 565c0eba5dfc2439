"""Loads ``servable_config.py`` and finds version directories."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import re
import sys
import threading

from pipeserve_native import _registry
from pipeserve_native._errors import FailedPreconditionError, NotFoundError
from pipeserve_native._registry import CONFIG_FILE, Registry

_path_lock = threading.Lock()


def _place(directory: str, name: str) -> str:
    return f"servable directory: '{directory}', servable name: '{name}'"


def _config_file(directory: str, name: str, version: int) -> str:
    """The config of a version: its own, or that of all versions."""
    own = os.path.join(directory, name, str(version), CONFIG_FILE)
    return own if os.path.isfile(own) else os.path.join(directory, name, CONFIG_FILE)


def check_directory(directory: str, name: str) -> None:
    """The servable's directory must be there."""
    path = os.path.join(directory, name)
    if not os.path.isdir(path):
        raise NotFoundError(
            f"Check servable config failed, directory '{path}' not exist, {_place(directory, name)}"
        )


def check_config_file(directory: str, name: str, version: int) -> None:
    """The servable's directory and the config of that version must be there."""
    check_directory(directory, name)
    config = _config_file(directory, name, version)
    if not os.path.isfile(config):
        raise NotFoundError(
            f"Check servable config failed, file '{config}' not exist, {_place(directory, name)}"
        )


def _versions(directory: str, name: str) -> set[int]:
    path = os.path.join(directory, name)
    entries = [entry for entry in os.listdir(path) if re.fullmatch("[1-9][0-9]*", entry)]
    return {int(entry) for entry in entries if os.path.isdir(os.path.join(path, entry))}


def resolve_version(directory: str, name: str, version: int) -> int:
    """The version to load: ``version``, or the largest version directory when it is 0."""
    path = os.path.join(directory, name)
    versions = _versions(directory, name)
    if version == 0:
        if not versions:
            raise NotFoundError(
                f"There is no valid version of servable, {_place(directory, name)}: the model "
                f"files of version 1 should be in {os.path.join(path, '1')}"
            )
        return max(versions)
    if version in versions:
        return version
    if os.path.exists(os.path.join(path, str(version))):
        raise NotFoundError(f"Expect {os.path.join(path, str(version))} to be a directory")
    raise NotFoundError(
        "There is no servable of the specified version number, specified version number: "
        f"{version}, {_place(directory, name)}"
    )


def find_version(directory: str, name: str, version: int) -> int:
    """The version to load, which has a directory and a config: for 0 the largest."""
    check_directory(directory, name)
    if not _versions(directory, name):
        check_config_file(directory, name, version)  # What is missing first comes first.
    version = resolve_version(directory, name, version)
    check_config_file(directory, name, version)
    return version


def find_config(directory: str, name: str, version: int) -> int:
    """The version whose config to read, which is there: for 0 the largest version directory.

    Distributed servables need no version directories; theirs is then 1.
    """
    check_directory(directory, name)
    version = version or max(_versions(directory, name), default=1)
    check_config_file(directory, name, version)
    return version


class _KeptSource(importlib.abc.SourceLoader):
    """A config as it was when it was read first: its file may change while it is served."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source

    def get_filename(self, fullname: str) -> str:
        """The file."""
        return self._path

    def get_data(self, path: str) -> bytes:
        """What it was."""
        return self._source


def load_config(directory: str, name: str, version: int, source: bytes | None = None) -> Registry:
    """Runs the config of a version and returns what it registered.

    ``source`` is what the config was for another process.
    """
    path = _config_file(directory, name, version)
    if source is None:
        with open(path, "rb") as file:
            source = file.read()
    with _path_lock:
        if directory not in sys.path:  # So that a config can import what lies beside it.
            sys.path.append(directory)
    module_name = f"{name}.servable_config"
    loader = _KeptSource(path, source)
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    former = sys.modules.get(module_name)
    sys.modules[module_name] = module
    registry = Registry(name, directory=os.path.abspath(directory), source=source)
    token = _registry.loading.set(registry)
    try:
        loader.exec_module(module)
    except Exception as error:
        if former is not None:
            sys.modules[module_name] = former
        raise FailedPreconditionError(
            f"import {module_name} failed, {str(error) or type(error).__name__}"
        ) from error
    finally:
        _registry.loading.reset(token)
    return registry
