"""Servables on an Ascend device that are not declared as distributed.

The runtime of Ascend must not be in a process that forks, so the process that serves starts an
agent for each of them: a group of one rank. It ends with the servable or with that process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeserve_native import _launcher
from pipeserve_native._errors import InvalidArgumentError, NotFoundError, UnimplementedError
from pipeserve_native._registry import LocalDeclaration

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


def the_device(device_ids: Sequence[int]) -> int:
    """The one on which a servable runs."""
    if len(device_ids) != 1:
        raise UnimplementedError(
            f"the servable is to run on {len(device_ids)} Ascend devices "
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


def agent_request(
    declaration: LocalDeclaration, files: list[str], key: bytes | None, mode: str
) -> _launcher.Request:
    """What the launcher of the agent is asked for, but for where the server is."""
    _check_files(declaration, files, key)
    return _launcher.Request(
        door=_launcher.Door(address="", ssl=None, token=os.urandom(16).hex(), token_file=None),
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
        precision=_precision(declaration),
        deterministic=False,
        overlap=False,
        on_agent_failure="restart",
        max_restarts=10,
        heartbeat=1.0,
        dead_after=3.0,
        hccl="root-info",
    )
