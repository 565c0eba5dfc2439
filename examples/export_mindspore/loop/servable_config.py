"""One network once, the other three times."""

from typing import Any

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable(["begin.mindir", "step.mindir"], "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def begin(x: Any) -> Any:
    """The first file."""
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def step(x: Any) -> Any:
    """The second file."""
    y = register.call_servable(x, subgraph=1)
    return y


begin_network = PipelineServable(servable_name="loop", method="begin")
step_network = PipelineServable(servable_name="loop", method="step")


@register.register_pipeline(output_names=["y"])
def predict(x: Any) -> Any:
    """The networks one after another."""
    y = begin_network.run(x)
    for _ in range(3):
        y = step_network.run(y)
    return y
