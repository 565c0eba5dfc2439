"""A pipeline that calls graph 0 once and graph 1 ten times."""

from typing import Any

import numpy as np

from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable(["matmul_0.mindir", "matmul_1.mindir"], "MindIR", with_batch_dim=False)


def add_preprocess(x: Any) -> Any:
    """What is done to an input before the graph sees it: any Python."""
    return np.add(x, x)


@register.register_method(output_names=["y"])
def fun1(x: Any) -> Any:
    """Graph 0, the first file that is declared."""
    x = register.call_preprocess(add_preprocess, x)
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def fun2(x: Any) -> Any:
    """Graph 1."""
    y = register.call_servable(x, subgraph=1)
    return y


servable1 = PipelineServable(servable_name="matmul", method="fun1")
servable2 = PipelineServable(servable_name="matmul", method="fun2")


@register.register_pipeline(output_names=["x", "z"])
def predict(x: Any, y: Any) -> Any:
    """Runs for every request, as ordinary Python."""
    x = servable1.run(x)
    z = None
    for _ in range(10):
        z = servable2.run(y)
    return x, z
