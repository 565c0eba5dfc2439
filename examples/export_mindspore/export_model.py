"""Exports two networks from MindSpore, and what MindSpore itself computes with them."""

import importlib
import os
from typing import Any

import numpy as np


def network(mindspore: Any, weight: Any) -> Any:
    """relu(x · weight)."""

    class Net(mindspore.nn.Cell):  # type: ignore[misc]  # MindSpore is Any here.
        """MindSpore traces construct when it exports."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = mindspore.Parameter(mindspore.Tensor(weight), name="weight")
            self.matmul = mindspore.ops.MatMul()
            self.relu = mindspore.ops.ReLU()

        def construct(self, x: Any) -> Any:
            """One call."""
            return self.relu(self.matmul(x, self.weight))

    return Net()


def main() -> None:
    """Writes the files that the server and the client want."""
    try:
        mindspore = importlib.import_module("mindspore")
    except ImportError as error:
        print(f"skipped: MindSpore cannot be imported: {error}")
        return
    mindspore.context.set_context(mode=mindspore.context.GRAPH_MODE)
    rng = np.random.default_rng(7)
    begin, step = (
        network(mindspore, rng.standard_normal((32, 32), np.float32) / np.float32(4))
        for _ in range(2)
    )
    x = mindspore.Tensor(rng.standard_normal((16, 32), np.float32))
    os.makedirs("loop/1", exist_ok=True)
    for name, net in (("begin", begin), ("step", step)):
        mindspore.export(net, x, file_name=f"loop/1/{name}", file_format="MINDIR")
    y = begin(x)
    for _ in range(3):
        y = step(y)
    np.savez("expected.npz", x=x.asnumpy(), y=y.asnumpy())
    print(
        f"Wrote loop/1/begin.mindir and loop/1/step.mindir with MindSpore {mindspore.__version__}"
    )


if __name__ == "__main__":
    main()
