"""A pipeline over graphs that eight agents run together."""

from typing import Any

from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

distributed.declare_servable(rank_size=8, stage_size=1, with_batch_dim=False)


@register.register_method(output_names=["y"])
def begin(x: Any) -> Any:
    """The first file that each agent has."""
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def step(x: Any) -> Any:
    """The second file."""
    y = register.call_servable(x, subgraph=1)
    return y


begin_graph = PipelineServable(servable_name="blocks", method="begin")
step_graph = PipelineServable(servable_name="blocks", method="step")


@register.register_pipeline(output_names=["y"], timeout=30)
def predict(x: Any, steps: Any) -> Any:
    """Graph 0 once, then graph 1 as often as the client asks for."""
    y = begin_graph.run(x)
    for _ in range(steps.item()):
        y = step_graph.run(y)
    return y
