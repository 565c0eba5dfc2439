"""Two graphs that do not need each other's results."""

from typing import Any

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable(["left.mindir", "right.mindir"], "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def left(x: Any) -> Any:
    """Graph 0."""
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def right(x: Any) -> Any:
    """Graph 1."""
    y = register.call_servable(x, subgraph=1)
    return y


left_graph = PipelineServable(servable_name="two", method="left")
right_graph = PipelineServable(servable_name="two", method="right")


@register.register_pipeline(output_names=["left", "right"])
def one_by_one(x: Any) -> Any:
    """Waits for each call."""
    return left_graph.run(x), right_graph.run(x)


@register.register_pipeline(output_names=["left", "right"], timeout=30)
def side_by_side(x: Any) -> Any:
    """Starts both calls, then waits for both."""
    futures = left_graph.submit(x), right_graph.submit(x)
    return tuple(future.result() for future in futures)
