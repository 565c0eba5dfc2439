"""Waits for the agents, then serves until Ctrl-C."""

import os

from pipeserve_native import server
from pipeserve_native.server import distributed

if __name__ == "__main__":
    distributed.start_servable(
        os.path.dirname(os.path.abspath(__file__)),
        "blocks",
        rank_table_json_file="rank_table_8pcs.json",
        version_number=1,
        distributed_address="127.0.0.1:6200",
    )
    server.start_grpc_server("127.0.0.1:5500")
