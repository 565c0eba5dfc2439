"""Connections that come to nothing leave nothing behind, and those that only wait are closed."""

import json
import os
import socket
import struct
import time

import pytest

CONFIG = """
from pipeserve_native.server import distributed, register

distributed.declare_servable(rank_size=2, stage_size=1, with_batch_dim=False)


@register.register_method(output_names=["y"])
def neg(x):
    y = register.call_servable(x)
    return y
"""

# Waits for agents for as long as the test takes, with all doors open.
SERVER = """
import os
from pipeserve_native import server
from pipeserve_native.server import distributed

server.start_grpc_server("127.0.0.1:0")
server.start_restful_server("127.0.0.1:0")
table = "rank_table.json"
distributed.start_servable(os.getcwd(), "small", table, distributed_address="127.0.0.1:0")
"""

CONNECTIONS = 10_000
AT_ONCE = 100
LIMIT_SECONDS = 60
# What libraries keep for their own ends; a leak would be thousands.
SPARE_DESCRIPTORS = 16

SENT = {
    "grpc": b"PRI * HTTP/2.0\r\n",  # The first half of how HTTP/2 begins.
    "rest": b"POST /model/small:neg HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{",
    "agents": b"PRI * HTTP/2.0\r\n",
}


@pytest.fixture
def doors(start_script, tmp_path):
    """The server, and the port of each door."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small/servable_config.py").write_text(CONFIG)
    devices = [{"device_id": str(i), "device_ip": "", "rank_id": str(i)} for i in range(2)]
    table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
    (tmp_path / "rank_table.json").write_text(json.dumps(table))
    server = start_script("serve.py", SERVER)
    lines = {
        "grpc": r"gRPC server start success, listening on 127.0.0.1:(\d+)",
        "rest": r"RESTful server start success, listening on 127.0.0.1:(\d+)",
        "agents": r"agents to register at 127.0.0.1:(\d+)",
    }
    return server, {door: int(server.wait_for(line)[1]) for door, line in lines.items()}


def open_and_close(port, count, text):
    """Some say nothing, some half of a message; some close, some break off."""
    for first in range(0, count, AT_ONCE):
        batch = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(AT_ONCE)]
        for number, connection in enumerate(batch, first):
            if number % 2:
                connection.sendall(text)
            if number % 3:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


@pytest.mark.parametrize("door", SENT)
def test_connections_that_are_closed_leave_no_descriptor(doors, door):
    server, ports = doors

    def descriptors():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    open_and_close(ports[door], AT_ONCE, SENT[door])
    before = descriptors()
    open_and_close(ports[door], CONNECTIONS, SENT[door])
    end = time.monotonic() + LIMIT_SECONDS
    while (now := descriptors()) > before + SPARE_DESCRIPTORS:
        assert time.monotonic() < end, f"{now} descriptors, {before} before"
        time.sleep(0.05)
    with socket.create_connection(("127.0.0.1", ports[door]), 30):
        assert server.process.poll() is None


@pytest.mark.parametrize("door", ["grpc", "agents"])
def test_a_connection_that_only_begins_is_closed(doors, door):
    _, ports = doors
    with socket.create_connection(("127.0.0.1", ports[door]), LIMIT_SECONDS) as connection:
        connection.sendall(SENT[door])
        while connection.recv(4096):  # The settings of the server come first.
            pass
