"""A pipeline that calls a graph until the result is good enough."""

from typing import Any

import numpy as np

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

MOST_STEPS = 100

register.declare_servable("step.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["x", "product"])
def step(a: Any, x: Any) -> Any:
    """A better x, and a · x of the one before."""
    x, product = register.call_servable(a, x)
    return x, product


step_graph = PipelineServable(servable_name="inverse", method="step")


@register.register_pipeline(output_names=["x", "steps"], timeout=10)
def invert(a: Any, tolerance: Any) -> Any:
    """The inverse of a, and the steps that it took."""
    x = np.ascontiguousarray(a.T) / (np.abs(a).sum(0).max() * np.abs(a).sum(1).max())
    for steps in range(1, MOST_STEPS + 1):
        x, product = step_graph.run(a, x)
        if np.abs(product - np.eye(len(a))).max() < tolerance:
            return x, np.int32(steps)
    raise ValueError(f"no inverse after {MOST_STEPS} steps")
