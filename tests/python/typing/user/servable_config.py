"""A servable as a user writes it."""

import numpy as np
import numpy.typing as npt

from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

Array = npt.NDArray[np.float32]

distributed.declare_servable(rank_size=8, stage_size=1, with_batch_dim=False)


def double(x: Array) -> Array:
    return np.add(x, x)


@register.register_method(output_names=["y"])
def fun1(x: Array) -> Array:
    x = register.call_preprocess(double, x)
    y: Array = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"], timeout=1.5)
def fun2(x: Array) -> Array:
    y: Array = register.call_servable(x, subgraph=1)
    return y


init = PipelineServable(servable_name="matmul", method="fun1")
step = PipelineServable(servable_name="matmul", method="fun2")


@register.register_pipeline(output_names=["x", "z"])
def predict(x: Array, y: Array) -> tuple[Array, Array]:
    x = init.run(x)
    z: Array = step.run(y)
    for _ in range(9):
        z = step.run(y)
    return x, z


@register.register_pipeline(output_names=["z"])
def fan_out(x: Array) -> Array:
    futures = [step.submit(row) for row in x]
    total: Array = np.zeros(16, np.float32)
    for future in futures:
        total += future.result(timeout=1)
    return total


@register.register_pipeline(output_names="state")
def resident(x: Array) -> register.ResidentTensor:
    state: register.ResidentTensor = init.run(x, keep=True)
    rows: int = state.shape[0]
    for _ in range(rows):
        state = step.run(state, keep=True)
    return state


# A decorated function keeps its type.
direct: Array = fan_out(np.ones((2, 96), np.float32))
