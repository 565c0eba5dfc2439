"""What the two doors refuse."""

import pytest

from pipeserve_native import server


@pytest.fixture(autouse=True)
def stopped():
    yield
    server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "unix:"])
def test_bad_addresses(address):
    with pytest.raises(RuntimeError):
        server.start_grpc_server(address)
    with pytest.raises(RuntimeError):
        server.start_restful_server(address)


def test_sizes_and_types():
    with pytest.raises(RuntimeError, match=r"should be in range \[1,512\]"):
        server.start_grpc_server("127.0.0.1:0", max_msg_mb_size=513)
    with pytest.raises(RuntimeError, match="The type of ssl_config should be type of SSLConfig"):
        server.start_grpc_server("127.0.0.1:0", ssl_config=1)


def test_a_door_opens_once():
    server.start_grpc_server("127.0.0.1:0")
    with pytest.raises(RuntimeError, match="Serving gRPC server is already running"):
        server.start_grpc_server("127.0.0.1:0")


def test_after_stop_it_opens_again(capsys):
    for _ in range(2):
        server.start_restful_server("127.0.0.1:0")
        server.stop()
    assert capsys.readouterr().out.count("Serving RESTful server start success") == 2


def test_a_taken_port(capsys):
    server.start_grpc_server("127.0.0.1:0")
    address = capsys.readouterr().out.rsplit(" ", 1)[1].strip()
    with pytest.raises(RuntimeError, match=f"bind to the socket address {address} failed"):
        server.start_restful_server(address)


def test_a_unix_socket(tmp_path, capsys):
    server.start_grpc_server(f"unix:{tmp_path}/door")
    assert f"listening on unix:{tmp_path}/door" in capsys.readouterr().out
