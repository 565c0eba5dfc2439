"""Calls the pipeline at the address that serve.py has left. x is all -96, z all -144."""

import pathlib

import numpy as np

from pipeserve_native.client import Client

if __name__ == "__main__":
    client = Client(pathlib.Path("address").read_text(), "matmul", "predict")
    ones = np.ones((128, 96), np.float32)
    print(client.infer({"x": ones, "y": ones}))
