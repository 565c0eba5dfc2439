"""Loads ``servable_config.py`` and finds version directories."""

from __future__ import annotations

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


def check_config_file(directory: str, name: str) -> None:
    """The servable's directory and its config must be there."""
    path = os.path.join(directory, name)
    if not os.path.isdir(path):
        raise NotFoundError(
            f"Check servable config failed, directory '{path}' not exist, {_place(directory, name)}"
        )
    config = os.path.join(path, CONFIG_FILE)
    if not os.path.isfile(config):
        raise NotFoundError(
            f"Check servable config failed, file '{config}' not exist, {_place(directory, name)}"
        )


def resolve_version(directory: str, name: str, version: int) -> int:
    """The version to load: ``version``, or the largest version directory when it is 0."""
    path = os.path.join(directory, name)
    entries = [entry for entry in os.listdir(path) if re.fullmatch("[1-9][0-9]*", entry)]
    versions = {int(entry) for entry in entries if os.path.isdir(os.path.join(path, entry))}
    if version == 0:
        if not versions:
            raise NotFoundError(
                f"There is no valid version of servable, {_place(directory, name)}: the model "
                f"files of version 1 should be in {os.path.join(path, '1')}"
            )
        return max(versions)
    if version in versions:
        return version
    if str(version) in entries:
        raise NotFoundError(f"Expect {os.path.join(path, str(version))} to be a directory")
    raise NotFoundError(
        "There is no servable of the specified version number, specified version number: "
        f"{version}, {_place(directory, name)}"
    )


def load_config(directory: str, name: str) -> Registry:
    """Runs the config and returns what it registered."""
    with _path_lock:
        if directory not in sys.path:  # So that a config can import what lies beside it.
            sys.path.append(directory)
    module_name = f"{name}.servable_config"
    spec = importlib.util.spec_from_file_location(
        module_name, os.path.join(directory, name, CONFIG_FILE)
    )
    assert spec is not None and spec.loader is not None  # It is a .py file.
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    registry = Registry(name, directory=os.path.abspath(directory))
    token = _registry.loading.set(registry)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise FailedPreconditionError(
            f"import {module_name} failed, {str(error) or type(error).__name__}"
        ) from error
    finally:
        _registry.loading.reset(token)
    return registry
