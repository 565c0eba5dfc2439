"""Records a method: its function runs once with placeholders instead of values.

How many outputs a step has is not known while it runs, so the source is read, too: each step is
a top-level assignment ``targets = call_xxx(...)``, with as many targets as outputs.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pipeserve_native import _core
from pipeserve_native._errors import InvalidArgumentError
from pipeserve_native._registry import HostStep, Method, Registry

PREPROCESS = "call_preprocess"
PREPROCESS_PIPELINE = "call_preprocess_pipeline"
SERVABLE = "call_servable"
POSTPROCESS = "call_postprocess"
POSTPROCESS_PIPELINE = "call_postprocess_pipeline"
_CALLS = (PREPROCESS, PREPROCESS_PIPELINE, SERVABLE, POSTPROCESS, POSTPROCESS_PIPELINE)

_ANY_PREPROCESS = f"{PREPROCESS} or {PREPROCESS_PIPELINE}"
_ANY_POSTPROCESS = f"{POSTPROCESS} or {POSTPROCESS_PIPELINE}"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Stands for a value while a method is recorded."""

    source: _core.DataSource

    def as_pair(self) -> _core.DataSource:
        """Where the value comes from."""
        return self.source


def _sources(values: tuple[Any, ...]) -> list[_core.DataSource]:
    try:
        return [value.as_pair() for value in values]
    except AttributeError:
        wrong = next(value for value in values if not isinstance(value, Placeholder))
        name = type(wrong).__qualname__
        if type(wrong).__module__ != "builtins":
            name = f"{type(wrong).__module__}.{name}"
        raise InvalidArgumentError(f"'{name}' object has no attribute 'as_pair'") from None


def _placeholders(phase: _core.Phase, count: int) -> tuple[Placeholder, ...]:
    return tuple(Placeholder(_core.DataSource(phase, i)) for i in range(count))


def _called_name(node: ast.expr) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def read_output_counts(function: Callable[..., Any]) -> dict[str, int]:
    """How many targets each top-level assignment of a ``call_xxx`` has."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError) as error:
        raise InvalidArgumentError(
            f"the source of method '{function.__name__}' cannot be read: {error}"
        ) from error
    counts: dict[str, int] = {}
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise InvalidArgumentError(f"'{function.__name__}' should be defined with def")
    for statement in definition.body:
        if not isinstance(statement, ast.Assign):
            continue
        name = _called_name(statement.value)
        if name in _CALLS and name not in counts:
            target = statement.targets[0]
            counts[name] = len(target.elts) if isinstance(target, (ast.Tuple, ast.List)) else 1
    if SERVABLE not in counts:
        raise InvalidArgumentError(f"Not find the invoke of '{SERVABLE}'")
    return counts


def parameter_names(function: Callable[..., Any]) -> list[str]:
    """The names of positional parameters; other kinds are refused."""
    names = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        ):
            raise InvalidArgumentError(
                f"'{function.__name__}' input {name} cannot be {parameter.kind.name} !"
            )
        names.append(name)
    return names


def _argument_count(function: Callable[..., Any]) -> int | None:
    """How many positional arguments a function takes; None when it may be any number."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # A function of C without a signature.
        return None
    if any(p.kind is p.VAR_POSITIONAL or p.default is not p.empty for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


@dataclass(slots=True)
class Trace:
    """One run of a method's function."""

    registry: Registry
    method: str
    output_counts: dict[str, int]
    preprocess: HostStep | None = None
    graph: _core.GraphStep | None = None
    postprocess: HostStep | None = None

    def _fail(self, text: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"Check failed in method '{self.method}', {text}")

    def _output_count(self, call: str) -> int:
        if call not in self.output_counts:
            raise InvalidArgumentError(f"Not find the invoke of '{call}'")
        return self.output_counts[call]

    def _host_step(
        self, call: str, kind: str, function: Callable[..., Any] | str, args: tuple[Any, ...]
    ) -> HostStep:
        if not args or not (callable(function) or isinstance(function, str)):
            raise InvalidArgumentError(f"Invalid '{call}' invoke args")
        is_pipeline = call in (PREPROCESS_PIPELINE, POSTPROCESS_PIPELINE)
        name = function if isinstance(function, str) else _function_name(function)
        if not isinstance(function, str) and not is_pipeline:
            wanted = _argument_count(function)
            if wanted is not None and wanted != len(args):
                raise InvalidArgumentError(
                    f"function {name} input args count {wanted} not match "
                    f"registered in method count {len(args)}"
                )
        outputs = self._output_count(call)
        self.registry.count_function(kind, name, len(args), outputs)
        return HostStep(function, name, is_pipeline, _sources(args), outputs)

    def call_preprocess(
        self, call: str, function: Callable[..., Any] | str, args: tuple[Any, ...]
    ) -> tuple[Placeholder, ...]:
        """Records the preprocess."""
        if self.preprocess is not None:
            raise self._fail(f"{_ANY_PREPROCESS} should not be invoked more than once")
        if self.graph is not None:
            raise self._fail(f"{SERVABLE} should be invoked after {call}")
        if self.postprocess is not None:
            raise self._fail(f"{_ANY_POSTPROCESS} should be invoked after {call}")
        self.preprocess = self._host_step(call, "Preprocess", function, args)
        return _placeholders(_core.Phase.PREPROCESS, self.preprocess.output_count)

    def call_servable(self, args: tuple[Any, ...], subgraph: int) -> tuple[Placeholder, ...]:
        """Records the graph call."""
        if self.graph is not None:
            raise self._fail(f"{SERVABLE} should not be invoked more than once")
        if self.postprocess is not None:
            raise self._fail(f"{_ANY_POSTPROCESS} should be invoked after {SERVABLE}")
        outputs = self._output_count(SERVABLE)
        self.registry.count_graph(subgraph, len(args), outputs)
        self.graph = _core.GraphStep(subgraph, _sources(args), outputs)
        return _placeholders(_core.Phase.PREDICT, outputs)

    def call_postprocess(
        self, call: str, function: Callable[..., Any] | str, args: tuple[Any, ...]
    ) -> tuple[Placeholder, ...]:
        """Records the postprocess."""
        if self.postprocess is not None:
            raise self._fail(f"{_ANY_POSTPROCESS} should not be invoked more than once")
        self.postprocess = self._host_step(call, "Postprocess", function, args)
        return _placeholders(_core.Phase.POSTPROCESS, self.postprocess.output_count)


_current: ContextVar[Trace | None] = ContextVar("pipeserve_trace", default=None)


def current_trace(call: str) -> Trace:
    """The method that is being recorded."""
    trace = _current.get()
    if trace is None:
        raise InvalidArgumentError(
            f"'{call}' should be invoked in a function decorated with 'register_method'"
        )
    return trace


def single_or_tuple(values: tuple[Placeholder, ...]) -> Placeholder | tuple[Placeholder, ...]:
    """What an assignment unpacks."""
    return values[0] if len(values) == 1 else values


def _function_name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def trace_method(
    registry: Registry,
    function: Callable[..., Any],
    output_names: tuple[str, ...],
    timeout: float,
) -> Method:
    """Records ``function`` as a method."""
    name = function.__name__
    input_names = parameter_names(function)
    trace = Trace(registry, name, read_output_counts(function))
    token = _current.set(trace)
    try:
        returned = function(*_placeholders(_core.Phase.INPUT, len(input_names)))
    finally:
        _current.reset(token)
    if trace.graph is None:
        raise InvalidArgumentError(f"Not find the invoke of '{SERVABLE}'")
    outputs = returned if isinstance(returned, (tuple, list)) else (returned,)
    if len(outputs) != len(output_names):
        raise InvalidArgumentError(
            f"Method return output size {len(outputs)} not match registered {len(output_names)}"
        )
    return Method(
        name=name,
        input_names=input_names,
        output_names=list(output_names),
        preprocess=trace.preprocess,
        graph=trace.graph,
        postprocess=trace.postprocess,
        outputs=_sources(tuple(outputs)),
        timeout=timeout,
    )
