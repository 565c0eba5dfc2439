"""Checks of arguments. Each returns the checked value and raises InvalidArgumentError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeserve_native._errors import InvalidArgumentError


def _wrong_type(name: str, wanted: str, value: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"Parameter '{name}' should be {wanted}, but actually {type(value)}"
    )


def check_str(name: str, value: Any) -> str:
    """A non-empty str."""
    if not isinstance(value, str):
        raise _wrong_type(name, "str", value)
    if not value:
        raise InvalidArgumentError(f"Parameter '{name}' should not be empty str")
    return value


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of ``choices``."""
    if not isinstance(value, str):
        raise _wrong_type(name, "str", value)
    if value not in choices:
        known = ", ".join(f"'{choice}'" for choice in choices)
        raise InvalidArgumentError(f"Parameter '{name}' should be one of {known}, but is '{value}'")
    return value


def check_bytes(name: str, value: Any) -> bytes:
    """Non-empty bytes."""
    if not isinstance(value, bytes):
        raise _wrong_type(name, "bytes", value)
    if not value:
        raise InvalidArgumentError(f"Parameter '{name}' should not be empty bytes")
    return value


def check_bool(name: str, value: Any) -> bool:
    """A bool."""
    if not isinstance(value, bool):
        raise _wrong_type(name, "bool", value)
    return value


def _check_range(prefix: str, value: int, minimum: int | None, maximum: int | None) -> int:
    too_small = minimum is not None and value < minimum
    too_large = maximum is not None and value > maximum
    if not too_small and not too_large:
        return value
    if minimum is not None and maximum is not None:
        raise InvalidArgumentError(f"{prefix} should be in range [{minimum},{maximum}]")
    limit = f">= {minimum}" if minimum is not None else f"<= {maximum}"
    raise InvalidArgumentError(f"{prefix} should be {limit}")


def check_int(name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """An int that is no bool, within the limits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(name, "int", value)
    return _check_range(f"Parameter '{name}'", value, minimum, maximum)


def check_threads(value: Any) -> int | None:
    """Threads of one graph call; None leaves it to the number of cores."""
    return None if value is None else check_int("threads", value, 1)


def check_inflight(value: Any) -> int | None:
    """How many requests of a servable run at once; None leaves it to the server."""
    return None if value is None else check_int("max_inflight", value, 1, 1024)


def check_workers(value: Any) -> int:
    """How many worker processes a servable has; 0 is none."""
    return check_int("workers", value, 0, 1024)


_LONGEST_SECONDS = 366 * 24 * 3600


def check_seconds(name: str, value: Any) -> float:
    """A time in seconds, an int or a float above 0; None is 0, no limit."""
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type(name, "int or float", value)
    if not 0.001 <= value <= _LONGEST_SECONDS:  # NaN is not, either.
        raise InvalidArgumentError(
            f"Parameter '{name}' should be in range [0.001,{_LONGEST_SECONDS}] seconds, "
            f"but actually {value}"
        )
    return float(value)


def check_wait(name: str, value: Any) -> float:
    """How long to wait, in seconds: an int or a float, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type(name, "int or float", value)
    if not value >= 0:
        raise InvalidArgumentError(f"Parameter '{name}' should be >= 0, but actually {value}")
    return float(min(value, _LONGEST_SECONDS))


def check_port(name: str, value: Any) -> int:
    """A port number."""
    return check_int(name, value, 1, 65535)


def _check_repeated(name: str, values: Sequence[object]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise InvalidArgumentError(
                f"The item value '{value}' in parameter '{name}' should not be repeated"
            )
        seen.add(value)


def check_str_list(name: str, value: Any) -> tuple[str, ...]:
    """A str, or a list or tuple of different ones."""
    if isinstance(value, str):
        return (check_str(name, value),)
    if not isinstance(value, (list, tuple)):
        raise _wrong_type(name, "str or tuple/list of str", value)
    for item in value:
        if not isinstance(item, str):
            raise InvalidArgumentError(
                f"The item of parameter '{name}' should be str, but actually {type(item)}"
            )
        if not item:
            raise InvalidArgumentError(f"The item of parameter '{name}' should not be empty str")
    _check_repeated(name, value)
    return tuple(value)


def check_int_list(name: str, value: Any, minimum: int | None = None) -> tuple[int, ...]:
    """An int, or a list or tuple of different ones."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (check_int(name, value, minimum),)
    if not isinstance(value, (list, tuple)):
        raise _wrong_type(name, "int or tuple/list of int", value)
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int):
            raise InvalidArgumentError(
                f"The item of parameter '{name}' should be int, but actually {type(item)}"
            )
        _check_range(f"The item value '{item}' in parameter '{name}'", item, minimum, None)
    _check_repeated(name, value)
    return tuple(value)


def check_nested_str_list(name: str, value: Any) -> list[list[str]]:
    """A str, or a list of str, or a list of lists of str: the files of each agent."""
    if isinstance(value, str):
        return [[check_str(name, value)]]
    if not isinstance(value, (list, tuple)):
        raise _wrong_type(name, "str or tuple/list of str", value)
    files = []
    for item in value:
        inner = [item] if isinstance(item, str) else item
        if not isinstance(inner, (list, tuple)):
            raise InvalidArgumentError(
                f"The item of parameter '{name}' should be str or tuple/list of str, "
                f"but actually {type(item)}"
            )
        for file in inner:
            if not isinstance(file, str):
                raise InvalidArgumentError(
                    f"The inner of parameter '{name}' should be str, but actually {type(file)}"
                )
            if not file:
                raise InvalidArgumentError(
                    f"The inner of parameter '{name}' should not be empty str"
                )
        files.append(list(inner))
    return files


def check_decryption(key: Any, mode: Any) -> tuple[bytes | None, str]:
    """The key of encrypted model files and how it is used."""
    if key is not None:
        check_bytes("dec_key", key)
        if len(key) not in (16, 24, 32):
            raise InvalidArgumentError(
                f"Parameter 'dec_key' length {len(key)} expected to be 16, 24 or 32"
            )
    check_str("dec_mode", mode)
    if mode not in ("AES-GCM", "AES-CBC"):
        raise InvalidArgumentError("Parameter 'dec_mode' expected to be 'AES-GCM' or 'AES-CBC'")
    return key, mode


COLLECTIVES = ("auto", "shm", "socket", "gloo")
AGENT_FAILURES = ("restart", "stop")
DEVICES = ("auto", "cpu", "ascend")
PRECISIONS = ("strict", "hf32", "fp16")
HCCL_WAYS = ("root-info", "rank-table")
