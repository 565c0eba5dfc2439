"""What one ``servable_config.py`` registers: its declaration, methods and pipelines.

While a config is being loaded, its registry is in a context variable. A config that somebody
imports by hand registers under the name of its directory instead, and cannot run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipeserve_native import _core
from pipeserve_native._errors import FailedPreconditionError, InvalidArgumentError

if TYPE_CHECKING:
    from pipeserve_native._agents import Agents

CONFIG_FILE = "servable_config.py"


@dataclass(frozen=True, slots=True)
class LocalDeclaration:
    """A servable whose graphs run in the server's process, or in an agent that it starts."""

    servable_file: tuple[str, ...]
    model_format: str
    with_batch_dim: bool
    without_batch_dim_inputs: tuple[int, ...]
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class DistributedDeclaration:
    """A servable whose graphs run in agents."""

    rank_size: int
    stage_size: int
    with_batch_dim: bool
    without_batch_dim_inputs: tuple[int, ...]


Declaration = LocalDeclaration | DistributedDeclaration


class MakeFunction(Protocol):
    """What makes a host function of a function of the config."""

    def __call__(
        self,
        key: str,
        function: Callable[..., Any],
        name: str,
        output_count: int,
        of_method: str | None,
        is_generator: bool,
    ) -> _core.HostFunction:
        """``key`` is unique in the servable; ``of_method`` is the method whose step it is."""
        ...


def make_here(
    key: str,
    function: Callable[..., Any],
    name: str,
    output_count: int,
    of_method: str | None,
    is_generator: bool,
) -> _core.HostFunction:
    """One that runs in this process."""
    make = _core.generator_function if is_generator else _core.instance_function
    return make(function, name, output_count)


@dataclass(frozen=True, slots=True)
class HostStep:
    """A preprocess or postprocess: a Python function or the name of a native one."""

    function: Callable[..., Any] | str
    name: str
    is_pipeline: bool
    inputs: list[_core.DataSource]
    output_count: int

    def build(self, kind: str, method: str, make: MakeFunction) -> _core.HostStep:
        """The step for the core. ``kind`` is preprocess or postprocess."""
        return _core.HostStep(
            self._host_function(kind, method, make), self.inputs, self.output_count
        )

    def _host_function(self, kind: str, method: str, make: MakeFunction) -> _core.HostFunction:
        if isinstance(self.function, str):
            native = _core.native_function(self.function)
            if native is None:
                raise InvalidArgumentError(f" {kind} {self.function} not defined")
            return native
        key = f"{kind} of {method}"
        return make(key, self.function, self.name, self.output_count, method, self.is_pipeline)


@dataclass(frozen=True, slots=True)
class Method:
    """A recorded data flow."""

    name: str
    input_names: list[str]
    output_names: list[str]
    preprocess: HostStep | None
    graph: _core.GraphStep
    postprocess: HostStep | None
    outputs: list[_core.DataSource]
    timeout: float

    def build(self, make: MakeFunction) -> _core.MethodSpec:
        """The method for the core."""
        before, after = self.preprocess, self.postprocess
        return _core.MethodSpec(
            name=self.name,
            input_names=self.input_names,
            output_names=self.output_names,
            preprocess=before.build("preprocess", self.name, make) if before else None,
            graph=self.graph,
            postprocess=after.build("postprocess", self.name, make) if after else None,
            outputs=self.outputs,
            timeout=self.timeout,
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A function that clients call and that calls methods."""

    name: str
    input_names: list[str]
    output_names: list[str]
    function: Callable[..., Any]
    timeout: float
    replayable: bool

    def build(self, make: MakeFunction) -> _core.PipelineSpec:
        """The pipeline for the core."""
        key = f"pipeline {self.name}"
        outputs = len(self.output_names)
        return _core.PipelineSpec(
            name=self.name,
            input_names=self.input_names,
            output_names=self.output_names,
            function=make(key, self.function, self.name, outputs, None, False),
            timeout=self.timeout,
            replayable=self.replayable,
        )


@dataclass(slots=True)
class Binding:
    """Where a loaded servable runs."""

    server: _core.Server | _core.WorkerSession
    """Runs its methods."""
    version: int
    calls: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """The methods that have been called, by name."""
    keeping_calls: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """The same for calls whose outputs are kept."""

    def bind(self, servable: str, method: str, keep: bool) -> Callable[..., Any]:
        """What runs a method with its arguments."""
        call = self.server.method(servable, self.version, method, keep)
        return (self.keeping_calls if keep else self.calls).setdefault(method, call)


@dataclass(slots=True)
class Registry:
    """The registrations of one servable."""

    name: str
    declaration: Declaration | None = None
    methods: dict[str, Method] = field(default_factory=dict)
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    warmup: Callable[[], object] | None = None
    """Called once before clients can call the servable."""
    graph_counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Per subgraph how many inputs and outputs the methods give it."""
    function_counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """The same per kind and name of a preprocess or postprocess."""
    binding: Binding | None = None
    """Set while the servable is loaded."""
    directory: str = ""
    """The one that holds the servable's."""
    source: bytes = b""
    """What the config is."""
    agents: Agents | None = None
    """Those that this process has started for it."""

    def end(self) -> None:
        """After the end of the server that it was loaded into."""
        self.binding = None
        if self.agents is not None:
            self.agents.stop()

    def declare(self, declaration: Declaration) -> None:
        """Keeps the one declaration of the servable."""
        if self.declaration is not None:
            raise InvalidArgumentError(
                f"Servable {self.name} has already been declared as: {self.declaration}"
            )
        self.declaration = declaration

    def add_method(self, method: Method) -> None:
        """Keeps a method."""
        if method.name in self.methods:
            raise InvalidArgumentError(f"Method {method.name} has been registered more than once.")
        self.methods[method.name] = method

    def add_pipeline(self, pipeline: Pipeline) -> None:
        """Keeps a pipeline."""
        if pipeline.name in self.pipelines:
            raise InvalidArgumentError(
                f"Raise failed: Pipeline {pipeline.name} has been registered more than once."
            )
        self.pipelines[pipeline.name] = pipeline

    def set_warmup(self, function: Callable[[], object]) -> None:
        """Keeps the one warm-up of the servable."""
        if self.warmup is not None:
            raise InvalidArgumentError(
                f"servable {self.name} has more than one warm-up: {self.warmup} and {function}"
            )
        self.warmup = function

    def count_graph(self, subgraph: int, inputs: int, outputs: int) -> None:
        """All methods must give a subgraph as many inputs, and want as many outputs."""
        if self.declaration is None:
            raise InvalidArgumentError(
                f"RegisterInputOutputInfo failed, cannot find servable {self.name}"
            )
        old = self.graph_counts.setdefault(subgraph, (inputs, outputs))
        for what, new, known in (("inputs", inputs, old[0]), ("outputs", outputs, old[1])):
            if new != known:
                raise InvalidArgumentError(
                    f"RegisterInputOutputInfo failed, {what} count {new} not match "
                    f"old count {known}"
                )

    def count_function(self, kind: str, function: str, inputs: int, outputs: int) -> None:
        """All methods must use a preprocess or postprocess in the same way."""
        old = self.function_counts.setdefault((kind, function), (inputs, outputs))
        for what, new, known in (("inputs", inputs, old[0]), ("outputs", outputs, old[1])):
            if new != known:
                raise InvalidArgumentError(
                    f"{kind} '{self.name}.{function}' {what} count {new} not match "
                    f"last registered count {known}"
                )

    def build(self, version: int, make: MakeFunction = make_here) -> _core.ServableSpec:
        """Everything, for the core."""
        if self.declaration is None:
            raise FailedPreconditionError(f"Servable {self.name} is not declared in {CONFIG_FILE}")
        return _core.ServableSpec(
            name=self.name,
            version=version,
            methods=[method.build(make) for method in self.methods.values()],
            pipelines=[pipeline.build(make) for pipeline in self.pipelines.values()],
            warm_up=None
            if self.warmup is None
            else make("warm-up", self.warmup, "warm-up", 0, None, False),
            with_batch_dim=self.declaration.with_batch_dim,
            without_batch_dim_inputs=list(self.declaration.without_batch_dim_inputs),
        )


loading: ContextVar[Registry | None] = ContextVar("pipeserve_loading", default=None)
_by_hand: dict[str, Registry] = {}


def current() -> Registry:
    """The registry of the config that is running now."""
    registry = loading.get()
    if registry is not None:
        return registry
    frame = sys._getframe(1)
    while frame is not None:
        path = os.path.realpath(frame.f_code.co_filename)
        if os.path.basename(path) == CONFIG_FILE:
            name = os.path.basename(os.path.dirname(path))
            return _by_hand.setdefault(name, Registry(name))
        frame = frame.f_back  # type: ignore[assignment]
    raise FailedPreconditionError(f"Failed to obtain the directory of {CONFIG_FILE}")
