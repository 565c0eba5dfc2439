"""Loads, switches, unloads and rolls back versions of the servables of this process's server."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from pipeserve_native import _checks
from pipeserve_native._errors import InvalidArgumentError
from pipeserve_native.server import _versions
from pipeserve_native.server.distributed import GroupLaunch

DRAIN_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Changes:
    """How agents of a new version come otherwise than those of the old one; None: they do not."""

    address: str | None
    rank_table_file: str | None
    wait_seconds: float | None
    """0 waits for ever."""

    def of(self, launch: _versions.Launch) -> _versions.Launch:
        """The launch of the new version."""
        if isinstance(launch, GroupLaunch):
            options = launch.options
            beside = f"{options.address.rpartition(':')[0]}:0"
            options = dataclasses.replace(
                options,
                address=self.address or beside,
                rank_table_file=self.rank_table_file or options.rank_table_file,
            )
            wait = launch.wait_seconds if self.wait_seconds is None else self.wait_seconds or None
            return dataclasses.replace(launch, options=options, wait_seconds=wait)
        if self != _Changes(None, None, None):
            raise InvalidArgumentError(
                f"servable {launch.name} is not declared as distributed: it has no use for "
                "distributed_address, rank_table_json_file and wait_agents_seconds"
            )
        return launch


def status() -> dict[str, Any]:
    """What the server of this process is doing at this moment.

    Returns:
        ``ready``; ``requests`` and ``bytes`` that wait or run, and the limits ``max_requests`` and
            ``max_bytes``; the addresses of the doors; ``servables``, each with ``name``,
            ``version``, ``state`` (LOADING, READY, UNAVAILABLE or UNLOADING), ``reason``,
            ``is_default`` (requests that name no version come to it), ``waiting``, ``running``,
            ``max_inflight``, ``callables`` and, when its graphs run in agents, ``group`` with
            ``address``, ``phase``, ``epoch``, ``epoch_count``, ``stage_size`` and ``agents``.

    Raises:
        UnavailableError: No server runs in this process.
    """
    return _versions.status()


def load_version(
    servable_name: str,
    version_number: int = 0,
    *,
    switch: bool = True,
    keep_previous: bool = False,
    drain_seconds: float = DRAIN_SECONDS,
    wait_agents_seconds: float | None = None,
    distributed_address: str | None = None,
    rank_table_json_file: str | None = None,
) -> int:
    """Replaces the running version of a servable by another one, without a failed request.

    The new version is loaded beside the old one, with the options that this was started with, and
    warmed up. Then requests that name no version come to it, all at once: one request sees the
    functions and graphs of one version, on all ranks. The old version finishes the requests that
    it has and is unloaded. When the new one cannot be loaded, or its warm-up raises, nothing has
    changed.

    A version directory may have a ``servable_config.py`` of its own; else that of the servable's
    directory is read again. What a config imports is not read again, unless its functions run in
    worker processes.

    Args:
        servable_name: One that was started in this process.
        version_number: 0 is the largest version directory.
        switch: False leaves all requests where they are, but those that name the new version.
        keep_previous: The old version stays loaded, so that ``roll_back`` is done at once.
        drain_seconds: What the old version has not answered by then is given up, with
            UnavailableError; 0 and up.
        wait_agents_seconds: How long a distributed servable waits for the agents of the new
            version; None: as long as it did when it was started, 0: for ever.
        distributed_address: Where they register; None is a free port beside the old one, which is
            printed and in the status.
        rank_table_json_file: Theirs; None is the same as the old one's.

    Returns:
        The version that has been loaded.

    Raises:
        NotFoundError: No such servable, version or file.
        FailedPreconditionError: That version runs already, another one is being loaded, switched
            to or unloaded, or what ``start_servables`` says.
        InvalidArgumentError: Arguments that cannot be, or what ``start_servables`` says; also when
            the warm-up raised.
        DeadlineExceededError: The agents have not come.
        CancelledError: Somebody has unloaded it meanwhile.
    """
    _checks.check_str("servable_name", servable_name)
    _checks.check_int("version_number", version_number, 0)
    changes = _Changes(
        address=distributed_address
        and _checks.check_str("distributed_address", distributed_address),
        rank_table_file=rank_table_json_file
        and os.path.abspath(_checks.check_str("rank_table_json_file", rank_table_json_file)),
        wait_seconds=wait_agents_seconds
        if wait_agents_seconds is None
        else _checks.check_wait("wait_agents_seconds", wait_agents_seconds),
    )
    return _versions.load(
        servable_name,
        version_number,
        changes.of,
        switch=_checks.check_bool("switch", switch),
        keep_previous=_checks.check_bool("keep_previous", keep_previous),
        drain=_checks.check_wait("drain_seconds", drain_seconds),
    )


def switch_version(servable_name: str, version_number: int) -> None:
    """Leads requests that name no version to a loaded one, all at once. None is unloaded.

    Args:
        servable_name: One that was started in this process.
        version_number: One that is loaded.

    Raises:
        NotFoundError: There is none of that name or version.
        UnavailableError: It cannot be called at this moment.
    """
    _checks.check_str("servable_name", servable_name)
    _versions.switch(servable_name, _checks.check_int("version_number", version_number, 1))


def unload_version(
    servable_name: str, version_number: int, *, drain_seconds: float = DRAIN_SECONDS
) -> None:
    """Ends a version when the requests that it has are answered; its agents are told to exit.

    One that ``load_version`` is still loading is given up, at once.

    Args:
        servable_name: One that was started in this process.
        version_number: One that is loaded.
        drain_seconds: What is not answered by then is given up, with UnavailableError; 0 and up.

    Raises:
        NotFoundError: There is none of that name or version.
        FailedPreconditionError: Requests that name no version come to it although others are
            loaded: switch first.
    """
    _checks.check_str("servable_name", servable_name)
    _versions.unload(
        servable_name,
        _checks.check_int("version_number", version_number, 1),
        _checks.check_wait("drain_seconds", drain_seconds),
    )


def roll_back(
    servable_name: str, *, keep_previous: bool = False, drain_seconds: float = DRAIN_SECONDS
) -> int:
    """Switches to the version that requests came to before the last switch.

    It is loaded again when it has been unloaded; of a distributed servable its agents have to be
    started again then, too.

    Args:
        servable_name: One that was started in this process.
        keep_previous: The version that it leaves stays loaded.
        drain_seconds: See ``load_version``.

    Returns:
        The version that requests come to now.

    Raises:
        FailedPreconditionError: Nothing has been switched yet.
        NotFoundError: No such servable, or its version directory is gone.
    """
    _checks.check_str("servable_name", servable_name)
    return _versions.roll_back(
        servable_name,
        keep_previous=_checks.check_bool("keep_previous", keep_previous),
        drain=_checks.check_wait("drain_seconds", drain_seconds),
    )
