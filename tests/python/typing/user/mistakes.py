"""What a type checker has to find: each line that ends in "wrong" and no other."""

import numpy as np

import pipeserve_native
from pipeserve_native import Model, export, server
from pipeserve_native.client import Client
from pipeserve_native.server import distributed, register

distributed.declare_servable(rank_size="8", stage_size=1)  # wrong
step = register.PipelineServable("matmul", "fun1")
future = step.submit(1)
future.result(timeout="1")  # wrong
future.results()  # wrong


@register.register_pipeline(output_names=1)  # wrong
def predict(x: int) -> int:
    return x


predict("x")  # wrong
server.start_grpc_server(5500)  # wrong
Client("localhost:5500", "matmul")  # wrong
Client("localhost:5500", "matmul", "predict").infer(1)  # wrong
graph = export.Graph("matmul_0")
value = graph.neg(np.ones(3))  # wrong
graph.matmul(graph.input("x", (1,), np.float32), 1)  # wrong
(outputs,) = Model("a.mindir").run_all(1)  # wrong
pipeserve_native.load("matmul", thread=1)  # wrong
print(pipeserve_native.load("matmul").predict.input_name)  # wrong
