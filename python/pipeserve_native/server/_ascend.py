"""Servables of this process whose graphs run on an Ascend device.

The runtime of Ascend must be initialised in a process that neither forks nor serves, so this one
starts an agent for each of them: a group of one rank. It ends with the servable or this process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeserve_native import _core, _launcher
from pipeserve_native._errors import InvalidArgumentError, NotFoundError, UnimplementedError
from pipeserve_native._registry import LocalDeclaration, Registry

_LOOPBACK = "127.0.0.1:0"
_READY_SECONDS = 60.0  # From an agent that has loaded its graphs to the group of it.
# The agent itself gives a call up after 30 s. This is for one that hangs, behind the calls of
# others that may take as long.
_CALL_SECONDS = 300.0

_OM = ".om"
_PRECISION_MODE = "acl_option.precision_mode"
_PRECISIONS = {
    "must_keep_origin_dtype": "strict",
    "force_fp16": "fp16",
    "allow_fp32_to_fp16": "fp16",
    "allow_mix_precision": "fp16",
}
# What MindSpore compiled into a model. Without it results would be others.
_NOT_SUPPORTED = ("acl_option.insert_op_cfg_path", "acl_option.output_type")

DEVICE_TYPES = ("none", "cpu", "ascend")


def is_chosen(declaration: LocalDeclaration, device_type: str) -> bool:
    """Whether the graphs run on Ascend: when told to, and OM models unless told otherwise."""
    device = device_type.lower()
    if declaration.model_format == "om" and device == "cpu":
        raise UnimplementedError(f"Not support device type {device_type} and model type OM. ")
    return device == "ascend" or declaration.model_format == "om"


def _check_device(registry: Registry, device_ids: Sequence[int]) -> int:
    if len(device_ids) != 1:
        raise UnimplementedError(
            f"Servable {registry.name} is to run on {len(device_ids)} Ascend devices "
            f"({', '.join(map(str, device_ids))}), a servable runs on one: start a server for each"
        )
    return device_ids[0]


def _check_files(declaration: LocalDeclaration, files: Sequence[str], key: bytes | None) -> None:
    is_om = declaration.model_format == "om"
    for file in files:
        if file.endswith(_OM) != is_om:  # Agents go by the name.
            wanted = f"should end in {_OM}" if is_om else f"should not end in {_OM}"
            raise InvalidArgumentError(
                f"model file {file} is declared as {'OM' if is_om else 'MindIR'}, its name {wanted}"
            )
        if not os.access(file, os.R_OK):
            raise NotFoundError(f"Cannot access model file '{file}'")
    if is_om and key is not None:
        raise InvalidArgumentError("dec_key is given, OM models are not encrypted")


def _precision(declaration: LocalDeclaration) -> str:
    if declaration.model_format == "om":  # Its options were those of the compiler.
        return "strict"
    for name in _NOT_SUPPORTED:
        if name in declaration.options:
            raise UnimplementedError(
                f"option {name.partition('.')[2]} of AclOptions is not supported"
            )
    mode = declaration.options.get(_PRECISION_MODE, "must_keep_origin_dtype")
    if mode not in _PRECISIONS:  # Of a dict, which is not checked when it is declared.
        raise InvalidArgumentError(
            f"option {_PRECISION_MODE} should be one of {', '.join(_PRECISIONS)}, "
            f"but actually {mode}"
        )
    return _PRECISIONS[mode]


def load(
    server: _core.Server,
    registry: Registry,
    spec: _core.ServableSpec,
    files: list[str],
    *,
    device_ids: Sequence[int],
    key: bytes | None,
    mode: str,
    max_inflight: int,
) -> None:
    """Starts the agent; returns when the servable can be called.

    ``registry`` has the agent until ``registry.end()``.
    """
    declaration, binding = registry.declaration, registry.binding
    assert isinstance(declaration, LocalDeclaration) and binding is not None
    device_id = _check_device(registry, device_ids)
    _check_files(declaration, files, key)
    precision = _precision(declaration)
    address = server.start_distributed(
        spec,
        rank_size=1,
        stage_size=1,
        rank_table_file="",
        address=_LOOPBACK,
        call_timeout=_CALL_SECONDS,
        lane=_core.LaneKind.AUTO,
        wait_for_all=False,
        max_inflight=max_inflight,
    )
    registry.agents = _launcher.start_own_agent(
        _launcher.Request(
            distributed_address=address,
            model_files=[files],
            group_config_files=None,
            agent_start_port=0,
            agent_ip=None,
            rank_start=None,
            key=key,
            mode=mode,
            threads=None,
            collectives="auto",
            device="ascend",
            precision=precision,
            deterministic=False,
        ),
        device_id,
    )
    server.wait_ready(registry.name, binding.version, _READY_SECONDS)
