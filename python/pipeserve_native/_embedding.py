"""Servables that this process calls itself: no door, no client, no queue."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any

from pipeserve_native import _checks, _core, _lifetime
from pipeserve_native._errors import InvalidArgumentError
from pipeserve_native._registry import DistributedDeclaration, Registry
from pipeserve_native.server import _ascend, _config, _loading

_logger = logging.getLogger("pipeserve_native")

_UNLIMITED = 1 << 62  # Whoever calls is this process itself.


class _Home:
    """Where a servable runs: ended by ``close``, with the process, or with the last reference."""

    def __init__(self, server: _core.Server, registry: Registry, version: int) -> None:
        self.server = server
        self.servable = registry.name
        self.version = version
        self.close = weakref.finalize(self, _end, server, registry)


def _end(server: _core.Server, registry: Registry) -> None:
    server.stop()
    registry.end()


class LoadedFunction:
    """A pipeline of a loaded servable or, when it has none, a method. Thread-safe."""

    def __init__(
        self, home: _Home, name: str, input_names: list[str], output_names: list[str]
    ) -> None:
        self._home = home
        self._title = f"{home.servable}.{name}"
        self.name = name
        self.input_names = tuple(input_names)
        """What it takes, in the order of the arguments."""
        self.output_names = tuple(output_names)
        """What it returns, in the order of the tuple."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs it on the calling thread and returns its one output, or a tuple of several.

        Arguments are given by position or by input name. Each is what a client can send: an array
        or a bytes, str, bool, int or float, which is an array of shape (1,); dtypes and shapes are
        those of the graphs. A C-contiguous array is not copied and must not be written to
        meanwhile. Outputs are what a client gets: read-only arrays, str or bytes.

        Limits and deadlines are those of a request: ``timeout`` of the pipeline,
        ``max_request_seconds`` of ``load``. Past the deadline the next ``run`` in the pipeline
        function raises, and so does this call when the function has ended.

        Raises:
            InvalidArgumentError: arguments that are missing, too many or do not fit the graph.
            DeadlineExceededError: it was not done in time.
            UnavailableError: the servable has been closed, or an agent is lost.
            FailedPreconditionError: in a process forked from the one that loaded it.
            InternalError: a function of the servable raised; that exception is its ``__cause__``.
        """
        home = self._home
        inputs = self._order(args, kwargs) if kwargs else args
        if len(inputs) != len(self.input_names):
            raise self._wrong_inputs(len(args), kwargs)
        outputs = home.server.infer(home.servable, home.version, self.name, inputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _order(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        rest = self.input_names[len(args) :]
        if set(rest) != set(kwargs):
            raise self._wrong_inputs(len(args), kwargs)
        return (*args, *(kwargs[name] for name in rest))

    def _wrong_inputs(self, count: int, kwargs: dict[str, Any]) -> InvalidArgumentError:
        came = f"{count} by position"
        if kwargs:
            came += f" and {', '.join(kwargs)} by name"
        return InvalidArgumentError(
            f"{self._title} takes {len(self.input_names)} inputs "
            f"({', '.join(self.input_names)}), {came} came"
        )

    def __repr__(self) -> str:
        return f"<{self._title}({', '.join(self.input_names)}) -> {', '.join(self.output_names)}>"


class LoadedServable:
    """A servable that this process has loaded. Its pipelines are attributes.

    As a context manager it is closed at the end of the block; else when nobody refers to it or to
    one of its pipelines any more.
    """

    def __init__(self, home: _Home, registry: Registry) -> None:
        self._home = home
        self.name = home.servable
        self.version = home.version
        self.callables: Mapping[str, LoadedFunction] = MappingProxyType(
            {
                each.name: LoadedFunction(home, each.name, each.input_names, each.output_names)
                for each in (registry.pipelines or registry.methods).values()
            }
        )
        """The pipelines or, when there are none, the methods, by name."""

    def close(self) -> None:
        """Ends it: awaits the calls that run; every later one raises UnavailableError."""
        self._home.close()

    def __getattr__(self, name: str) -> LoadedFunction:
        # Not `self.callables`, which is not there yet while a copy is being made.
        callables: Mapping[str, LoadedFunction] = self.__dict__.get("callables", {})
        if name in callables:
            return callables[name]
        known = ", ".join(callables)
        raise AttributeError(f"there is no pipeline or method {name}, only {known}")

    def __getitem__(self, name: str) -> LoadedFunction:
        return self.callables[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.callables]

    def __enter__(self) -> LoadedServable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        functions = ", ".join(repr(each) for each in self.callables.values())
        return f"<servable {self.name} version {self.version}: {functions}>"


def _open(
    server: _core.Server,
    registry: Registry,
    directory: str,
    version: int,
    local: _loading.LocalOptions,
    group: _loading.GroupOptions | None,
    wait_timeout: float | None,
) -> int:
    """Loads the servable; the version that was loaded."""
    name = registry.name
    if isinstance(registry.declaration, DistributedDeclaration):
        if group is None:
            raise InvalidArgumentError(
                f"servable {name} is declared as distributed: load() needs rank_table_json_file"
            )
        if local.device_type.lower() != "none":
            raise InvalidArgumentError(
                f"servable {name} is declared as distributed: its agents have devices, not load()"
            )
        version = _config.find_config(directory, name, version)
        address, ranks = _loading.open_group(server, registry, version, group)
        _logger.info("servable %s waits for %d agents at %s", name, ranks, address)
        server.wait_ready(name, version, wait_timeout)
        return version
    if group is not None:
        raise InvalidArgumentError(
            f"servable {name} is not declared as distributed: it has no use for "
            "rank_table_json_file"
        )
    version = _config.resolve_version(directory, name, version)
    folder = os.path.join(directory, name, str(version))
    _loading.load_local(server, registry, version, folder, local)
    return version


def _check_device_type(device_type: object) -> str:
    if device_type is None:
        return "None"
    kind = _checks.check_str("device_type", device_type)
    _checks.check_choice("device_type", kind.lower(), _ascend.DEVICE_TYPES)
    return kind


def load(
    directory: str | os.PathLike[str],
    *,
    version: int = 0,
    threads: int | None = None,
    device_type: str | None = None,
    device_id: int = 0,
    dec_key: bytes | None = None,
    dec_mode: str = "AES-GCM",
    max_request_seconds: float | None = None,
    rank_table_json_file: str | os.PathLike[str] | None = None,
    distributed_address: str = "127.0.0.1:6200",
    wait_timeout: float | None = 60.0,
    call_timeout: float = 10.0,
    lane: str = "auto",
    wait: str = "last",
) -> LoadedServable:
    """Loads a servable into this process, which then calls its pipelines like functions.

    >>> with pipeserve_native.load("servables/matmul") as matmul:
    ...     x, z = matmul.predict(x, y)

    The arguments from ``rank_table_json_file`` on are for a servable that is declared as
    distributed, whose graphs run in agents (``distributed.startup_agents``).

    Args:
        directory: The servable's own, with ``servable_config.py`` and version directories.
        version: 0 is the largest version directory; of a distributed servable without any it is 1.
        threads: Of one graph call on the CPU; None is one for each core that this process may use.
        device_type: "CPU", "Ascend", or None: Ascend for OM models and the CPU for others. On
            Ascend the graphs run in a process that this one starts, and ends with the servable.
        device_id: Which Ascend device.
        dec_key: Key of encrypted model files: 16, 24 or 32 bytes.
        dec_mode: "AES-GCM" or "AES-CBC".
        max_request_seconds: Of one call, 0.001 to a year; None is no limit.
        rank_table_json_file: Which ranks there are.
        distributed_address: Where they come to, ``ip:port``.
        wait_timeout: Seconds to wait for all of them; None waits for ever.
        call_timeout: Seconds for one graph call on all ranks.
        lane: "auto", "shm" or "grpc"; see ``distributed.start_servable``.
        wait: "last" or "all"; see ``distributed.start_servable``.

    Raises:
        NotFoundError: No such directory, config, version or model file.
        InvalidArgumentError: An argument that cannot be, or methods that do not fit the graphs.
        FailedPreconditionError: The config raised, the agents do not fit, or Ascend has no such
            device or no runtime.
        DeadlineExceededError: The agents have not come.
        UnimplementedError: An operator that is not supported, OM models on the CPU.
    """
    folder = _checks.check_str("directory", os.fspath(directory))
    parent, name = os.path.split(os.path.abspath(folder))
    _checks.check_int("version", version, 0)
    key, mode = _checks.check_decryption(dec_key, dec_mode)
    local = _loading.LocalOptions(
        dec_key=key,
        dec_mode=mode,
        threads=_checks.check_threads(threads),
        device_type=_check_device_type(device_type),
        device_ids=(_checks.check_int("device_id", device_id, 0),),
    )
    seconds = _checks.check_seconds("max_request_seconds", max_request_seconds)
    timeout = None if wait_timeout is None else _checks.check_wait("wait_timeout", wait_timeout)
    group = None
    if rank_table_json_file is not None:
        group = _loading.GroupOptions(
            rank_table_file=os.path.abspath(rank_table_json_file),
            address=_checks.check_str("distributed_address", distributed_address),
            call_timeout=_checks.check_seconds("call_timeout", call_timeout),
            lane=_checks.check_choice("lane", lane, tuple(_loading.LANES)),
            wait=_checks.check_choice("wait", wait, _loading.WAITS),
        )
    config_version = _config.find_config(parent, name, version)
    registry = _config.load_config(parent, name, config_version)
    _lifetime.start_housekeeping()
    server = _core.Server(
        max_inflight=1,
        max_enqueued_requests=_UNLIMITED,
        max_enqueued_bytes=_UNLIMITED,
        max_request_seconds=seconds,
    )
    try:
        loaded = _open(server, registry, parent, version, local, group, timeout)
    except BaseException:
        _end(server, registry)
        raise
    return LoadedServable(_Home(server, registry, loaded), registry)
