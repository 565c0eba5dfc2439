"""Starts servables that are not declared as distributed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeserve_native import _checks, _core, _lifetime
from pipeserve_native._errors import Error, InvalidArgumentError
from pipeserve_native._registry import Registry
from pipeserve_native._workers import WorkerOptions
from pipeserve_native.server import _ascend, _config, _loading, _versions
from pipeserve_native.server._state import STATE, stop_on_exception

_logger = logging.getLogger("pipeserve_native")


class ServableStartConfig:
    """Which servable to start, and how. What comes after ``dec_mode`` is new here.

    Args:
        servable_directory: The directory that holds the servable's.
        servable_name: Name of the servable and of its directory, which holds
            ``servable_config.py`` and the version directories.
        device_ids: Devices, 0 and up, each once. On a CPU they make no difference; on Ascend it is
            one, counted within ``$ASCEND_RT_VISIBLE_DEVICES``.
        version_number: A version directory; 0 is the one with the largest number.
        device_type: "CPU", "Ascend", or None or "None", which is Ascend for OM models and the CPU
            for others; in upper or lower case. Another is refused when it is started.
        dec_key: Key of encrypted model files: 16, 24 or 32 bytes.
        dec_mode: "AES-GCM" or "AES-CBC".
        threads: Of one graph call on the CPU; None is one for each core that this process may use.
        max_inflight: Requests of this servable that run at once, 1 to 1024; None is as many as
            there are ``workers`` or, without, what ``configure`` says.
        workers: Processes that run the functions of ``servable_config.py``, each one request at a
            time, up to 1024; 0 runs them in this process. A worker that ends is started again, and
            its request runs on another one, up to three times in all; see ``replayable`` of
            ``register_pipeline``.
        worker_grace_in_seconds: A worker that goes on with a request for so long after it was given
            up (its deadline passed, its client left) is killed.

    Raises:
        InvalidArgumentError: An argument of another type or out of range.
    """

    def __init__(
        self,
        servable_directory: str,
        servable_name: str,
        device_ids: int | Sequence[int],
        version_number: int = 0,
        device_type: str | None = None,
        dec_key: bytes | None = None,
        dec_mode: str = "AES-GCM",
        *,
        threads: int | None = None,
        max_inflight: int | None = None,
        workers: int = 0,
        worker_grace_in_seconds: float = 5.0,
    ) -> None:
        self._servable_directory = _checks.check_str("servable_directory", servable_directory)
        self._servable_name = _checks.check_str("servable_name", servable_name)
        self._device_ids = _checks.check_int_list("device_ids", device_ids, 0)
        self._version_number = _checks.check_int("version_number", version_number, 0)
        if device_type is not None:
            _checks.check_str("device_type", device_type)
        self._device_type = device_type or "None"
        self._dec_key, self._dec_mode = _checks.check_decryption(dec_key, dec_mode)
        self._threads = _checks.check_threads(threads)
        self._max_inflight = _checks.check_inflight(max_inflight)
        self._workers = _checks.check_workers(workers)
        self._worker_grace = _checks.check_wait("worker_grace_in_seconds", worker_grace_in_seconds)

    @property
    def servable_directory(self) -> str:
        """The directory that holds the servable's."""
        return self._servable_directory

    @property
    def servable_name(self) -> str:
        """The name of the servable and of its directory."""
        return self._servable_name

    @property
    def device_ids(self) -> tuple[int, ...]:
        """Devices."""
        return self._device_ids

    @property
    def version_number(self) -> int:
        """The version; 0 is the largest version directory."""
        return self._version_number

    @property
    def device_type(self) -> str:
        """The kind of device."""
        return self._device_type

    @property
    def dec_key(self) -> bytes | None:
        """The key of encrypted model files."""
        return self._dec_key

    @property
    def dec_mode(self) -> str:
        """How the key is used."""
        return self._dec_mode

    @property
    def threads(self) -> int | None:
        """Threads of one graph call; None is one for each core this process may use."""
        return self._threads

    @property
    def max_inflight(self) -> int | None:
        """Requests that run at once; None: as many as workers, or what ``configure`` says."""
        return self._max_inflight

    @property
    def workers(self) -> int:
        """Processes that run the servable's functions; 0: this one does."""
        return self._workers

    @property
    def worker_grace_in_seconds(self) -> float:
        """How long a worker may go on with a request that was given up."""
        return self._worker_grace


def _check_items(configs: object) -> list[ServableStartConfig]:
    wanted = "ServableStartConfig"
    if isinstance(configs, ServableStartConfig):
        return [configs]
    if not isinstance(configs, (list, tuple)):
        raise InvalidArgumentError(
            f"Parameter 'servable_configs' should be {wanted}, list or tuple of {wanted}, "
            f"but actually {type(configs)}"
        )
    for config in configs:
        if not isinstance(config, ServableStartConfig):
            raise InvalidArgumentError(
                f"The item of parameter 'servable_configs' should be {wanted}, "
                f"but actually {type(config)}"
            )
    return list(configs)


def _check_device_type(config: ServableStartConfig) -> None:
    if config.device_type.lower() not in _ascend.DEVICE_TYPES:
        raise InvalidArgumentError(
            f"The device type '{config.device_type}' of servable name {config.servable_name} is "
            "inconsistent with current running environment, supported device type: 'None', 'CPU' "
            "or 'Ascend'"
        )


@dataclass(slots=True)
class _Start:
    """What the configs of one servable and version say together."""

    config: ServableStartConfig
    device_ids: tuple[int, ...]

    def add(self, config: ServableStartConfig) -> None:
        name = config.servable_name
        if (self.config.dec_key, self.config.dec_mode) != (config.dec_key, config.dec_mode):
            raise InvalidArgumentError(
                f"The dec key or dec mode of servable name {name} is different in multiple "
                "configurations."
            )
        kinds = {self.config.device_type.lower(), config.device_type.lower()}
        if len(kinds) > 1 and "ascend" in kinds:
            raise InvalidArgumentError(
                f"The device type of servable name {name} is different in multiple configurations: "
                f"'{self.config.device_type}' and '{config.device_type}'"
            )
        self.device_ids = tuple(dict.fromkeys(self.device_ids + config.device_ids))


def _resolve(configs: list[ServableStartConfig]) -> dict[tuple[str, int], _Start]:
    """What to start, by name and version."""
    resolved: dict[tuple[str, int], _Start] = {}
    directories: dict[str, str] = {}
    for config in configs:
        directory, name = config.servable_directory, config.servable_name
        version = _config.find_version(directory, name, config.version_number)
        _check_device_type(config)
        if os.path.realpath(directories.setdefault(name, directory)) != os.path.realpath(directory):
            raise InvalidArgumentError(
                f"The servable directory of servable name {name} is different in multiple "
                "configurations"
            )
        start = _Start(config, config.device_ids)
        resolved.setdefault((name, version), start).add(config)
    return resolved


def announce(registry: Registry, directory: str, version: int) -> None:
    """Says on stdout and in the log that a servable runs."""
    methods = list(registry.pipelines or registry.methods)
    _lifetime.announce(
        f"Serving: Start servable success, servable directory: '{directory}', "
        f"servable name: '{registry.name}', version number: {version}"
    )
    _logger.info(
        "Register success: worker address: in process, "
        "servable: {name:%s, version:%d, method:[%s]}",
        registry.name,
        version,
        ", ".join(methods),
    )


@dataclass(frozen=True, slots=True)
class _LocalLaunch(_versions.Launch):
    """Of a servable whose graphs run in this process, or on its device."""

    options: _loading.LocalOptions

    def resolve(self, version: int) -> int:
        """0 is the newest version directory."""
        return _config.find_version(self.directory, self.name, version)

    def load(self, server: _core.Server, running: _versions.Running, on_request_only: bool) -> None:
        """From the version's directory."""
        version = running.version
        _loading.load_local(
            server,
            running.registry,
            version,
            os.path.join(self.directory, self.name, str(version)),
            replace(self.options, workers=running.workers, on_request_only=on_request_only),
        )
        announce(running.registry, self.directory, version)


def _launch(start: _Start) -> _LocalLaunch:
    config = start.config
    return _LocalLaunch(
        config.servable_directory,
        config.servable_name,
        WorkerOptions(count=config.workers, grace=config.worker_grace_in_seconds),
        _loading.LocalOptions(
            dec_key=config.dec_key,
            dec_mode=config.dec_mode,
            threads=config.threads,
            max_inflight=config.max_inflight,
            device_type=config.device_type,
            device_ids=start.device_ids,
        ),
    )


@stop_on_exception
def start_servables(
    servable_configs: ServableStartConfig | Sequence[ServableStartConfig],
) -> None:
    """Loads servables into this process; returns when all of them can be called.

    The graphs of those on Ascend run in processes that this one starts, and ends. Prints a line
    for each servable. As in MindSpore Serving, several versions of a servable may run side by side,
    and a failure stops the server before it is raised.

    Args:
        servable_configs: What to start. Configs with the same name and version count once.

    Raises:
        InvalidArgumentError: An argument of another type, methods that do not fit the graphs, model
            files that are damaged, configs that contradict each other.
        NotFoundError: No such directory, config, version or model file.
        FailedPreconditionError: ``servable_config.py`` raised, or there is no such Ascend device or
            no runtime for it, or it does not take the graphs; the text tells what.
        AlreadyExistsError: That version runs already.
        UnimplementedError: An operator that is not supported, OM models on the CPU, several Ascend
            devices for one servable.
    """
    for (_, version), start in _resolve(_check_items(servable_configs)).items():
        try:
            _versions.start(_launch(start), version, STATE.server)
        except Error as error:
            raise type(error)(f"Fail to start workers: {error}") from error
