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
    "register_warmup",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Warmup = TypeVar("_Warmup", bound=Callable[[], Any])

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
    """Options for Ascend devices, of MindIR models. A CPU has no use for them.

    ``precision_mode`` says how a MatMul of float32 is computed: in float32 with
    "must_keep_origin_dtype" and by default, else in float16. ``insert_op_cfg_path`` and
    ``output_type`` are refused when the servable is started on Ascend; the others make no
    difference.

    Args:
        options: ``insert_op_cfg_path``, ``input_format``, ``input_shape``, ``output_type``,
            ``precision_mode`` and ``op_select_impl_mode``, each a str.

    Raises:
        InvalidArgumentError: Another option, or a value that the option does not have.
    """

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
    """Options for GPUs. Checked as in MindSpore Serving; a CPU has no use for them.

    Args:
        precision_mode: "origin" or "fp16".

    Raises:
        InvalidArgumentError: Another mode.
    """

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
    """Declares a servable that runs in the server's process, or on its device. Once a config.

    Args:
        servable_file: Model files in the version directory; the index is the subgraph number.
        model_format: "MindIR", or "OM": files that were compiled for an Ascend device, with static
            shapes, whose names end in .om. In any case.
        with_batch_dim: The first dimension of inputs and outputs counts instances, up to as many as
            the model has. With False a call is one instance.
        options: For devices; None is none. See ``AclOptions``.
        without_batch_dim_inputs: Indices of inputs that have no such dimension.

    Raises:
        InvalidArgumentError: An argument of another type, another format, a second declaration.
        FailedPreconditionError: Outside of ``servable_config.py``.
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

    The function runs once, now, with placeholders, as in MindSpore Serving. It calls
    ``call_servable`` once, before it at most one preprocess and after it at most one postprocess,
    each as ``y = call_xxx(...)`` with as many targets as there are results.

    Args:
        output_names: Names of what the function returns, each once.
        timeout: Seconds from the admission of a client's request to its answer, 0.001 to a year,
            also when the request only waits; None is no limit. It does not limit calls by
            pipelines.

    Raises:
        InvalidArgumentError: Names or a timeout that cannot be, calls in another order or number,
            parameters that are no plain ones, or a second method of that name.
    """
    names = _checks.check_str_list("output_names", output_names)
    seconds = _checks.check_seconds("timeout", timeout)

    def decorate(function: _Function) -> _Function:
        registry = _registry.current()
        registry.add_method(_tracing.trace_method(registry, function, names, seconds))
        return function

    return decorate


def register_pipeline(
    output_names: str | Sequence[str], *, timeout: float | None = None, replayable: bool = True
) -> Callable[[_Function], _Function]:
    """Decorator: the function runs for every request and may call methods as it likes.

    When a servable has a pipeline, clients can call its pipelines alone, as in MindSpore Serving.
    Requests run side by side, ``max_inflight`` at once.

    The parameters are the inputs: arrays with the dtype and shape that the client sent; str; for
    bytes a uint8 array. The function returns as many values as there are ``output_names``, in a
    tuple or list unless it is one: arrays, ``ResidentTensor``, numbers, str or bytes. An exception
    costs its instance alone: the client gets "Pipeline Failed: " and its text.

    Args:
        output_names: Names of what the function returns, each once.
        timeout: Seconds from the admission of a request to its answer, 0.001 to a year, also when
            the request only waits; None is no limit. The earliest of it, the client's own deadline
            and the server's ``max_request_seconds`` counts. The client is then answered at once;
            the function goes on until its next ``run``, which raises DeadlineExceededError. When
            the client leaves, the next ``run`` raises CancelledError in the same way.
        replayable: Whether a graph call may be made again when an agent is lost under it; the
            client then waits a little longer and gets its answer. With worker processes the
            function itself is run again when its worker is lost. With False nothing is ever done
            twice: such a call, or request, fails with UnavailableError.

    Raises:
        InvalidArgumentError: Names or a timeout that cannot be, parameters that are no plain ones,
            or a second pipeline of that name.
    """
    names = _checks.check_str_list("output_names", output_names)
    seconds = _checks.check_seconds("timeout", timeout)
    again = _checks.check_bool("replayable", replayable)

    def decorate(function: _Function) -> _Function:
        inputs = _tracing.parameter_names(function)
        _registry.current().add_pipeline(
            _registry.Pipeline(function.__name__, inputs, list(names), function, seconds, again)
        )
        return function

    return decorate


def register_warmup(function: _Warmup) -> _Warmup:
    """Decorator: the function runs once, before clients can call the servable. Once a config.

    By then every graph with known shapes has run once on zeros. Use it for what else the first
    request should not have to wait for, and to check answers: it may call the config's pipeline
    functions like functions, and ``PipelineServable.run``. When it raises, this version of the
    servable is not started, and the one that runs goes on. With worker processes it runs in one
    of them.

    >>> @register.register_warmup
    ... def warm_up():
    ...     assert predict(np.ones((2, 3), np.float32)).shape == (2, 3)

    Args:
        function: Takes nothing; what it returns is ignored.

    Raises:
        InvalidArgumentError: A function that takes arguments, or a second warm-up.
    """
    names = _tracing.parameter_names(function)
    if names:
        raise InvalidArgumentError(
            f"the warm-up {function.__name__} should take no arguments, but takes "
            f"{', '.join(names)}"
        )
    _registry.current().set_warmup(function)
    return function


def call_preprocess(preprocess_fun: Callable[..., Any] | str, *args: Any) -> Any:
    """In a method: a function called with the values of one instance, before the graph.

    Args:
        preprocess_fun: Takes arrays, str or bytes (as uint8 arrays), one for each of ``args``, and
            returns one value or a tuple or list of several: arrays, numbers, str or bytes. A str
            names a native function.
        args: Inputs of the method.

    Returns:
        A placeholder for each result, for the calls that follow.

    Raises:
        InvalidArgumentError: Not the first call of its method, a number of arguments that the
            function does not take, or outside of a method that is being registered.
    """
    call = _tracing.PREPROCESS
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_preprocess(call, preprocess_fun, args))


def call_preprocess_pipeline(preprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """In a method: like ``call_preprocess``, for all instances of a call at once.

    Args:
        preprocess_fun: A generator function that takes a tuple of instances, each a tuple of
            values, and yields the results of one instance after the other.
        args: Inputs of the method.
    """
    call = _tracing.PREPROCESS_PIPELINE
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_preprocess(call, preprocess_fun, args))


def call_servable(*args: Any, subgraph: int = 0) -> Any:
    """In a method: one run of a graph.

    Its inputs must have the dtype and number of bytes that the graph wants; the shape is not
    compared, as in MindSpore Serving.

    Args:
        args: One for each input of the graph: inputs of the method, or results of its preprocess.
        subgraph: Index of the graph in the list of model files: ``servable_file`` here, the list of
            each agent in ``startup_agents``.

    Returns:
        A placeholder for each output of the graph.

    Raises:
        InvalidArgumentError: A subgraph below 0, a second call in one method, or outside of a
            method that is being registered.
    """
    _checks.check_int("subgraph", subgraph, 0)
    trace = _tracing.current_trace(_tracing.SERVABLE)
    return _tracing.single_or_tuple(trace.call_servable(args, subgraph))


def call_postprocess(postprocess_fun: Callable[..., Any] | str, *args: Any) -> Any:
    """In a method: a function called with the values of one instance, after the graph.

    Args:
        postprocess_fun: Like a preprocess. ``"argmax_cpp"`` is a native one: the index of the
            largest value of a float array, int32.
        args: Inputs of the method, results of its preprocess, outputs of the graph.

    Returns:
        A placeholder for each result.

    Raises:
        InvalidArgumentError: Not after ``call_servable``, a number of arguments that the function
            does not take, or outside of a method that is being registered.
    """
    call = _tracing.POSTPROCESS
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_postprocess(call, postprocess_fun, args))


def call_postprocess_pipeline(postprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """In a method: like ``call_postprocess``, for all instances of a call at once.

    Args:
        postprocess_fun: A generator function, as for ``call_preprocess_pipeline``.
        args: Inputs of the method, results of its preprocess, outputs of the graph.
    """
    call = _tracing.POSTPROCESS_PIPELINE
    trace = _tracing.current_trace(call)
    return _tracing.single_or_tuple(trace.call_postprocess(call, postprocess_fun, args))


class PipelineServable:
    """A method of this servable, for its pipelines.

    Name and version are only checked, as in MindSpore Serving: the method is always one of the
    servable whose config made this object.

    Args:
        servable_name: A str that is not empty.
        method: Name of a method; it is looked up when it is run.
        version_number: 0 or more.

    Raises:
        InvalidArgumentError: An argument of another type.
        FailedPreconditionError: Outside of ``servable_config.py``.
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

        Args:
            args: The inputs: C-contiguous arrays, which are not copied and must not be written to
                meanwhile; handles; bool, int (as int64) or float (as float64) for scalars; str;
                bytes.
            keep: Leave the outputs where they are.

        Returns:
            Arrays, for str a str, for bytes a uint8 array; or handles.

        Raises:
            DeadlineExceededError: The request's deadline has passed.
            CancelledError: Its client has left.
            InvalidArgumentError: Inputs that do not fit the graph, or a handle of another servable.
            NotFoundError: There is no such method.
            FailedPreconditionError: ``keep=True`` on a thread that works for no request; a handle
                of another request, or of one that has ended; a servable that has not been started.
            UnavailableError: An agent is lost, or a handle with the agents that computed it.
            InternalError: A pre- or postprocess function raised.
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
        until the call is done.

        Args:
            args: As for ``run``.
            keep: As for ``run``.

        Raises:
            InvalidArgumentError: What ``run`` raises for wrong arguments; all else comes with the
                result.
            ResourceExhaustedError: More than 10 000 calls wait.
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
