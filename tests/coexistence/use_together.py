"""Imports modules in the given order into one process, then uses each of them for real.

python use_together.py [--global] MODULE ...

MODULE: grpc, protobuf, tools (grpcio-tools), numpy, torch or pipeserve. --global: every import
shares its symbols with the whole process, as some programs tell Python to. Reads ms_service_pb2
from the current folder.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import sys

MODULES = {
    "grpc": "grpc",
    "protobuf": "google.protobuf.message",
    "tools": "grpc_tools.protoc",
    "numpy": "numpy",
    "torch": "torch",
    "pipeserve": "pipeserve_native",
}
PREDICT = "/mindspore.serving.proto.MSService/Predict"

CONFIG = """
from pipeserve_native.server import register

register.declare_servable("double.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def double(x):
    y = register.call_servable(x)
    return y
"""


def use_pipeserve():
    """Serves a graph and calls it with the native client; the server goes on."""
    import numpy as np

    from pipeserve_native import export, server
    from pipeserve_native.client import Client

    graph = export.Graph("double")
    x = graph.input("x", (2, 3), np.float32)
    graph.output(graph.add(x, x))
    graph.save("doubler/1/double.mindir")
    pathlib.Path("doubler/servable_config.py").write_text(CONFIG)
    server.start_servables(server.ServableStartConfig(os.getcwd(), "doubler", 0))
    server.start_grpc_server("unix:door")
    value = np.full((2, 3), 1.5, np.float32)
    (reply,) = Client("unix:door", "doubler", "double").infer({"x": value})
    np.testing.assert_array_equal(reply["y"], value + value)


def use_protobuf():
    """Messages of the names that the server itself has, there and back."""
    import ms_service_pb2 as protocol

    request = protocol.PredictRequest()
    request.servable_spec.name = "doubler"
    request.servable_spec.method_name = "double"
    tensor = request.instances.add().items["x"]
    tensor.dtype = protocol.MS_FLOAT32
    tensor.shape.dims.extend((2, 3))
    tensor.data = bytes(24)
    assert protocol.PredictRequest.FromString(request.SerializeToString()) == request
    return protocol, request


def use_grpc():
    """An RPC of PyPI's gRPC to the server of ours in the same process."""
    import grpc

    protocol, request = use_protobuf()
    with grpc.insecure_channel("unix:door") as channel:
        predict = channel.unary_unary(
            PREDICT,
            request_serializer=protocol.PredictRequest.SerializeToString,
            response_deserializer=protocol.PredictReply.FromString,
        )
        reply = predict(request, timeout=30)
    assert reply.instances[0].items["y"].data == bytes(24), reply


def use_tools():
    """The compiler of .proto files, which holds a protobuf of its own."""
    from grpc_tools import protoc

    pathlib.Path("point.proto").write_text('syntax = "proto3"; message Point { int32 x = 1; }')
    assert protoc.main(["protoc", "-I.", "--python_out=.", "point.proto"]) == 0
    assert pathlib.Path("point_pb2.py").exists()


def use_numpy():
    """A product."""
    import numpy as np

    a = np.arange(6.0).reshape(2, 3)
    assert (a @ a.T).tolist() == [[5.0, 14.0], [14.0, 50.0]]


def use_torch():
    """A product, with its gradient."""
    import torch

    a = torch.arange(6.0).reshape(2, 3).requires_grad_()
    product = a @ a.T
    assert product.tolist() == [[5.0, 14.0], [14.0, 50.0]]
    product.sum().backward()
    assert a.grad.tolist() == [[6.0, 10.0, 14.0]] * 2


def use_tls():
    """Python's own OpenSSL, beside the one that the wheel brings."""
    import hashlib
    import ssl

    ssl.create_default_context()
    assert hashlib.new("sha256", b"").hexdigest().startswith("e3b0c44298fc1c14")


def main():
    """Imports, uses everything, and stops the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--global", action="store_true", dest="share")
    parser.add_argument("module", nargs="+", choices=list(MODULES))
    args = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    if args.share:
        sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    for module in args.module:
        importlib.import_module(MODULES[module])
    use_pipeserve()
    for module in args.module:
        if module != "pipeserve":
            globals()[f"use_{module}"]()
    use_tls()

    from pipeserve_native import server

    server.stop()
    print("used:", *args.module)


if __name__ == "__main__":
    main()
