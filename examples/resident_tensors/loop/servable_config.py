"""A loop over a state, which is moved in one pipeline and stays where it is in the other."""

from typing import Any

import numpy as np

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

TURNS = 50

register.declare_servable(["begin.mindir", "step.mindir"], "MindIR", with_batch_dim=False)


@register.register_method(output_names=["state"])
def begin(x: Any) -> Any:
    """The first state."""
    state = register.call_servable(x, subgraph=0)
    return state


@register.register_method(output_names=["state", "y"])
def step(state: Any) -> Any:
    """The next state, and one column of it to look at."""
    state, y = register.call_servable(state, subgraph=1)
    return state, y


begin_graph = PipelineServable(servable_name="loop", method="begin")
step_graph = PipelineServable(servable_name="loop", method="step")


@register.register_pipeline(output_names=["seen", "state"])
def arrays(x: Any) -> Any:
    """The state comes back to Python in every turn."""
    state = begin_graph.run(x)
    seen = []
    for _ in range(TURNS):
        state, y = step_graph.run(state)
        seen.append(y)
    return np.hstack(seen), state


@register.register_pipeline(output_names=["seen", "state"])
def handles(x: Any) -> Any:
    """Python has handles, and reads only the columns."""
    state = begin_graph.run(x, keep=True)
    seen = []
    for _ in range(TURNS):
        state, y = step_graph.run(state, keep=True)
        seen.append(y.numpy())
    return np.hstack(seen), state
