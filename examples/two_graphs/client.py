"""Calls the pipeline: x is -((1 + 1) · 0.5) summed over 96 columns, z is -(1 · 1.5)."""

import numpy as np

from pipeserve_native.client import Client

client = Client("localhost:5500", "matmul", "predict")
ones = np.ones((128, 96), np.float32)
print(client.infer({"x": ones, "y": ones}))
