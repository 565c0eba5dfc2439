"""What runs on a Ray cluster after ``launch.ray.serve``, seen from the process that called it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeserve_native import _checks
from pipeserve_native._errors import DeadlineExceededError, UnavailableError
from pipeserve_native.launch._files import read_files
from pipeserve_native.launch._ray_actors import AgentActor, Place, ServerActor, ServerOptions

_ANSWER_SECONDS = 60.0
_STATUS_SECONDS = 2.0
_END_AGENT_SECONDS = 15.0
_SERVER_CALLS = 8  # So many methods of the server's actor may wait at once.


@dataclass(frozen=True, slots=True)
class Status:
    """What a deployment does at one moment."""

    available: bool
    """Whether clients are answered."""
    reason: str
    """Why they are not; empty if they are."""
    hosts: tuple[str | None, ...]
    """The IP of each rank's machine; None while Ray starts the rank again."""


class Deployment:
    """What ``serve`` started. As a context manager it is stopped at the end of the block.

    Ray ends it, too, when the process that called ``serve`` is gone.
    """

    def __init__(self, group: Any, max_restarts: int) -> None:
        self._group: Any = group  # None once it is stopped.
        self._max_restarts = max_restarts
        self._server: Any = None
        self._agents: list[Any] = []
        # What is in Ray's object store stays there while somebody refers to it: a restart needs it.
        self._shipped: list[Any] = []

    def _start_server(
        self, servable: str, options: ServerOptions, ship: bool, resources: Mapping[str, float]
    ) -> None:
        actor_options = _actor_options(resources)
        actor_options["max_concurrency"] = _SERVER_CALLS
        # Whoever calls it while it is being restarted wants the answer of the one that comes.
        actor_options["max_task_retries"] = -1
        files = self._ship(servable) if ship else None
        actor = self._actor(ServerActor, bundle=0, **actor_options)
        self._server = actor.remote(servable, files, options)

    def _start_agent(self, place: Place, ship: bool, resources: Mapping[str, float]) -> None:
        bundle = place.rank // place.local_ranks
        files = self._ship(place.folder) if ship else None
        actor = self._actor(AgentActor, bundle=bundle, **_actor_options(resources))
        self._agents.append(actor.remote(self._server, place, files))

    def _actor(self, kind: type[Any], bundle: int, **options: Any) -> Any:
        where = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=bundle)
        return ray.remote(kind).options(
            scheduling_strategy=where, max_restarts=self._max_restarts, **options
        )

    def _ship(self, folder: str) -> Any:
        """The files of a folder in Ray's object store."""
        files = ray.put(read_files(folder))
        self._shipped.append(files)
        return files

    def _wait_started(self, end: float) -> None:
        """Raises what kept an actor from starting; ``end`` is a time of ``time.monotonic``."""
        for actor in (self._server, *self._agents):
            _get(actor.check.remote(), max(end - time.monotonic(), 0.0))

    @property
    def address(self) -> str:
        """Where the gRPC door is, ``ip:port``. It moves when Ray moves the server."""
        return str(_get(self._server.addresses.remote(), _ANSWER_SECONDS)[0])

    @property
    def rest_address(self) -> str:
        """Where the REST door is, ``ip:port``; empty if there is none."""
        return str(_get(self._server.addresses.remote(), _ANSWER_SECONDS)[1])

    def status(self) -> Status:
        """Asks the actors; those that do not answer soon are being started again."""
        questions = [self._server.why_not_ready.remote()]
        questions += [agent.host.remote() for agent in self._agents]
        ray.wait(questions, num_returns=len(questions), timeout=_STATUS_SECONDS)
        reason, *hosts = [_answer(question) for question in questions]
        if reason is None:
            reason = "the server's actor does not answer, Ray may be starting it again"
        return Status(reason == "", reason, tuple(hosts))

    def wait_available(self, timeout: float = 60.0) -> None:
        """Returns when clients are answered, again if an actor died.

        Raises:
            DeadlineExceededError: They are not within ``timeout`` seconds; the text says why.
            FailedPreconditionError: The agents do not fit each other or the servable.
        """
        _checks.check_wait("timeout", timeout)
        # Ray gives up later, so that what the server knows is what is raised.
        _get(self._server.wait_ready.remote(timeout), timeout + _STATUS_SECONDS)

    def stop(self, timeout: float = 30.0) -> None:
        """Ends it: idempotent, and done when it returns.

        New requests are refused; those that are in the server have ``timeout`` seconds.
        """
        group, self._group = self._group, None
        if group is None or not ray.is_initialized():
            return
        agents = self._agents
        _settle([agent.expect_end.remote() for agent in agents], _STATUS_SECONDS)
        if self._server is not None:
            _settle([self._server.end.remote(timeout)], timeout + _STATUS_SECONDS)
        _settle([agent.end.remote() for agent in agents], _END_AGENT_SECONDS)
        for actor in filter(None, (self._server, *agents)):
            ray.kill(actor)
        ray.util.remove_placement_group(group)

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _get(question: Any, seconds: float) -> Any:
    """The answer of an actor; raises what it raised."""
    try:
        return ray.get(question, timeout=seconds)
    except GetTimeoutError as error:
        raise DeadlineExceededError(
            f"an actor of Ray has not answered within {seconds:.0f} s"
        ) from error
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        raise UnavailableError(f"an actor of Ray is gone: {error}") from error


def _answer(question: Any) -> Any:
    """What an actor has answered; None if it has not, or is gone."""
    with contextlib.suppress(GetTimeoutError, RayActorError):
        return ray.get(question, timeout=0)
    return None


def _settle(questions: Sequence[Any], seconds: float) -> None:
    """Waits for answers that some actor may not be able to give."""
    if questions:
        ray.wait(list(questions), num_returns=len(questions), timeout=seconds)


def _actor_options(resources: Mapping[str, float]) -> dict[str, Any]:
    """Amounts of resources as Ray wants them of an actor."""
    others = dict(resources)
    options: dict[str, Any] = {"num_cpus": others.pop("CPU", 0), "num_gpus": others.pop("GPU", 0)}
    if "memory" in others:
        options["memory"] = others.pop("memory")
    return {**options, "resources": others}
