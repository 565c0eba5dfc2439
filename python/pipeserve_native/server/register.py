"""What a ``servable_config.py`` says: the model, its methods and its pipelines.

register.declare_servable(servable_file=["add.mindir", "sub.mindir"], model_format="MindIR")

@register.register_method(output_names=["y"])
def add(x1, x2):
    y = register.call_servable(x1, x2, subgraph=0)
    return y

add_servable = register.PipelineServable(servable_name="calculator", method="add")

@register.register_pipeline(output_names=["y"])
def predict(x1, x2):
    return add_servable.run(add_servable.run(x1, x2), x2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from pipeserve_native import _checks, _registry, _tracing
from pipeserve_native._core import ResidentTensor
from pipeserve_native._errors import FailedPreconditionError, InvalidArgumentError
from pipeserve_native._future import CallFuture

__all__ = [
    "AclOptions",
    "CallFuture",
    "GpuOptions",
    "PipelineServable",
    "ResidentTensor",
    "call_postprocess",
    "call_postprocess_pipeline",
    "call_preprocess",
    "call_preprocess_pipeline",
    "call_servable",
    "declare_servable",
    "register_method",
    "register_pipeline",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_ACL_CHOICES: dict[str, tuple[str, ...] | None] = {
    "insert_op_cfg_path": None,
    "input_format": ("ND", "NCHW", "NHWC", "CHWN", "NC1HWC0", "NHWC1C0"),
    "input_shape": None,
    "output_type": ("FP32", "FP16", "UINT8"),
    "precision_mode": (
        "force_fp16",
        "allow_fp32_to_fp16",
        "must_keep_origin_dtype",
        "allow_mix_precision",
    ),
    "op_select_impl_mode": ("high_performance", "high_precision"),
}


class AclOptions:
    """Options for Ascend devices. Checked and kept; the CPU has no use for them."""

    def __init__(self, **options: str) -> None:
        self.options: dict[str, str] = {}
        for name, value in options.items():
            if name not in _ACL_CHOICES:
                raise InvalidArgumentError(f"Set acl option failed, unsupported option {name}")
            choices = _ACL_CHOICES[name]
            _checks.check_str(name, value)
            if choices is not None and value not in choices:
                raise InvalidArgumentError(
                    f"Parameter '{name}' should be one of {', '.join(choices)}, "
                    f"but actually {value}"
                )
            self.options[f"acl_option.{name}"] = value


class GpuOptions:
    """Options for GPUs. Checked and kept; the CPU has no use for them."""

    def __init__(self, precision_mode: str = "origin") -> None:
        _checks.check_str("precision_mode", precision_mode)
        if precision_mode not in ("origin", "fp16"):
            raise InvalidArgumentError(
                "Parameter 'precision_mode' should be one of origin, fp16, "
                f"but actually {precision_mode}"
            )
        self.options = {"gpu_option.precision_mode": precision_mode}


def _check_options(
    options: AclOptions | GpuOptions | Mapping[str, str] | None,
) -> dict[str, str]:
    if options is None:
        return {}
    if isinstance(options, (AclOptions, GpuOptions)):
        return options.options
    if not isinstance(options, dict) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in options.items()
    ):
        raise InvalidArgumentError(
            "Parameter 'options' should be None, dict of <str,str> or AclOptions or GpuOptions, "
            f"but actually {type(options)}"
        )
    return dict(options)


def check_batch_dim(
    with_batch_dim: bool, without_batch_dim_inputs: int | Sequence[int] | None
) -> tuple[bool, tuple[int, ...]]:
    """The two parameters that both declarations have."""
    _checks.check_bool("with_batch_dim", with_batch_dim)
    if without_batch_dim_inputs is None:
        return with_batch_dim, ()
    return with_batch_dim, _checks.check_int_list(
        "without_batch_dim_inputs", without_batch_dim_inputs, 0
    )


def declare_servable(
    servable_file: str | Sequence[str],
    model_format: str,
    with_batch_dim: bool = True,
    options: AclOptions | GpuOptions | Mapping[str, str] | None = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> None:
    """Declares a servable that runs in the server's process.

    ``servable_file``: model files in the version directory; the index is the subgraph number.
    """
    files = _checks.check_str_list("servable_file", servable_file)
    _checks.check_str("model_format", model_format)
    if model_format.lower() not in ("om", "mindir"):
        raise InvalidArgumentError("model format can only be OM or MindIR")
    batch_dim, without = check_batch_dim(with_batch_dim, without_batch_dim_inputs)
    _registry.current().declare(
        _registry.LocalDeclaration(
            files, model_format.lower(), batch_dim, without, _check_options(options)
        )
    )


def register_method(
    output_names: str | Sequence[str], *, timeout: float | None = None
) -> Callable[[_Function], _Function]:
    """Decorator: records the data flow of a function, whose parameters are the inputs.

    The function runs once, now, with placeholders. It calls ``call_servable`` once, before it
    at most one preprocess and after it at most one postprocess, each as ``y = call_xxx(...)``.

    ``timeout``: seconds from the admission of a client's request to its answer, also when the
    request only waits; None is no limit. It does not limit calls by pipelines.
    Raises InvalidArgumentError for a timeout that is no number from 0.001 to that of a year.
    """
    names = _checks.check_str_list("output_names", output_names)
    seconds = _checks.check_seconds("timeout", timeout)

    def decorate(function: _Function) -> _Function:
        registry = _registry.current()
        registry.add_method(_tracing.trace_method(registry, function, names, seconds))
        return function

    return decorate


def register_pipeline(
    output_names: str | Sequence[str], *, timeout: float | None = None
) -> Callable[[_Function], _Function]:
    """Decorator: the function runs for every request and may call methods as it likes.

    When a servable has a pipeline, clients can call its pipelines alone.

    ``timeout``: seconds from the admission of a request to its answer, also when the request only
    waits; None is no limit. The earliest of it, the client's own deadline and the server's
    ``max_request_seconds`` counts. The client is then answered at once; the function goes on
    until its next ``run``, which raises DeadlineExceededError. When the client leaves, the next
    ``run`` raises CancelledError in the same way.
    Raises InvalidArgumentError for a timeout that is no number from 0.001 to that of a year.
    """
    names = _checks.check_str_list("output_names", output_names)
    seconds = _checks.check_seconds("timeout", timeout)

    def decorate(function: _Function) -> _Function:
        inputs = _tracing.parameter_names(function)
        _registry.current().add_pipeline(
            _registry.Pipeline(function.__name__, inputs, list(names), function, seconds)
        )
        return function

    return decorate


def call_preprocess(preprocess_fun: Callable[..., Any] | str, *args: Any) -> Any:
    """In a method: a function called with the values of one instance."""
    call = _tracing.PREPROCESS
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_preprocess(call, preprocess_fun, args))


def call_preprocess_pipeline(preprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """In a method: a generator function over a tuple of instances; yields a result for each."""
    call = _tracing.PREPROCESS_PIPELINE
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_preprocess(call, preprocess_fun, args))


def call_servable(*args: Any, subgraph: int = 0) -> Any:
    """In a method: one run of a graph."""
    _checks.check_int("subgraph", subgraph, 0)
    trace = _tracing.current_trace(_tracing.SERVABLE)
    return _tracing.single_or_tuple(trace.call_servable(args, subgraph))


def call_postprocess(postprocess_fun: Callable[..., Any] | str, *args: Any) -> Any:
    """In a method: a function called with the values of one instance."""
    call = _tracing.POSTPROCESS
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_postprocess(call, postprocess_fun, args))


def call_postprocess_pipeline(postprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """In a method: a generator function over a tuple of instances; yields a result for each."""
    call = _tracing.POSTPROCESS_PIPELINE
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_postprocess(call, postprocess_fun, args))


class PipelineServable:
    """A method of this servable, for its pipelines.

    ``servable_name`` and ``version_number`` are only checked: the method is always one of the
    servable whose config made this object.
    """

    def __init__(self, servable_name: str, method: str, version_number: int = 0) -> None:
        self._servable_name = _checks.check_str("servable_name", servable_name)
        self._method = _checks.check_str("method", method)
        self._version_number = _checks.check_int("version_number", version_number, 0)
        self._registry = _registry.current()

    def run(self, *args: Any, keep: bool = False) -> Any:
        """Runs the method, on any thread, and waits for its result.

        ``run(a, b)`` is one instance and returns the one output or a tuple of several.
        ``run([a0, a1])``, one list alone, is one single-input instance per item and returns a
        list of tuples.

        With ``keep=True`` the outputs stay where they were computed, and each array of the result
        is a ``ResidentTensor`` instead. One can stand for an array among the arguments of any
        method of this servable: its bytes are not moved. ``numpy()`` of one is a read-only array; a
        pipeline function can return it like an array. The request's end frees it, however it
        ends.

        In a pipeline function it raises DeadlineExceededError once the request's deadline has
        passed and CancelledError once its client has left. Raises FailedPreconditionError for
        ``keep=True`` on a thread that works for no request, and for a ResidentTensor of another
        request or one that has ended; InvalidArgumentError for one of another servable;
        UnavailableError for one that is lost with the group of agents that computed it.
        """
        binding = self._registry.binding or self._not_bound()
        calls = binding.calls
        if keep is not False:
            _checks.check_bool("keep", keep)
            calls = binding.keeping_calls
        call = calls.get(self._method)
        if call is None:
            call = binding.bind(self._registry.name, self._method, keep)
        return call(*args)

    def submit(self, *args: Any, keep: bool = False) -> CallFuture:
        """Like ``run``, but does not wait: the method runs on a thread of the core meanwhile.

        Calls begin in the order in which they are submitted. Arguments must not be written to
        until the call is done. Raises what ``run`` raises for wrong arguments, and
        ResourceExhaustedError when too many calls wait; all else comes with the result.
        """
        if keep is not False:
            _checks.check_bool("keep", keep)
        binding = self._registry.binding or self._not_bound()
        return CallFuture(
            binding.server.submit(self._registry.name, binding.version, self._method, args, keep)
        )

    def _not_bound(self) -> NoReturn:
        raise FailedPreconditionError(
            "Run failed: Run worker for inference failed, worker has not been started"
        )
