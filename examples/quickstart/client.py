"""Calls the method over gRPC."""

import numpy as np

from pipeserve_native.client import Client

client = Client("localhost:5500", "thermometer", "convert")
print(client.infer({"celsius": np.array([0, 37, 100], np.float32)}))
