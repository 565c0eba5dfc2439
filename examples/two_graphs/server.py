"""Serves the newest version of the servable in matmul/ until Ctrl-C."""

import os

from pipeserve_native import server

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    server.start_servables(server.ServableStartConfig(here, "matmul", device_ids=0))
    server.start_grpc_server("127.0.0.1:5500")
    server.start_restful_server("127.0.0.1:1500")
