"""Who gets in where agents register: certificates, tokens, and what happens to those without."""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from pipeserve_native import UnauthenticatedError, _core, export
from pipeserve_native.client import Client

PIPESERVE = os.path.join(os.path.dirname(sys.executable), "pipeserve")
RANKS = 2
TOKEN = "0123456789abcdef0123456789abcdef"
LIMIT_SECONDS = 60

CONFIG = f"""
from pipeserve_native.server import distributed, register

distributed.declare_servable(rank_size={RANKS}, stage_size=1, with_batch_dim=False)


@register.register_method(output_names=["y"])
def neg(x):
    y = register.call_servable(x)
    return y
"""


@pytest.fixture
def folder(tmp_path):
    """A servable of two ranks, and the model files of each."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small/servable_config.py").write_text(CONFIG)
    graph = export.Graph("neg")
    graph.output(graph.neg(graph.input("x", (2,), np.float32)))
    for rank in range(RANKS):
        (tmp_path / f"model/device{rank}").mkdir(parents=True)
        graph.save(tmp_path / f"model/device{rank}/neg.mindir")
    devices = [{"device_id": str(i), "device_ip": "", "rank_id": str(i)} for i in range(RANKS)]
    table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
    (tmp_path / "rank_table.json").write_text(json.dumps(table))
    (tmp_path / "token").write_text(TOKEN + "\n")
    return tmp_path


class Authority:
    """Signs certificates of this machine's address."""

    def __init__(self, folder, name):
        self._folder = folder
        self._name = name
        self.certificate = self._run(
            name, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1", name
        )

    def _run(self, common_name, command, name, *more):
        certificate = self._folder / f"{name}.crt"
        files = ["-keyout", self._folder / f"{name}.key", "-out", certificate]
        subject = ["-subj", f"/CN={common_name}"]
        subprocess.run(
            ["openssl", *command.split(), *subject, *files, *more], check=True, capture_output=True
        )
        return certificate

    def sign(self, name):
        """The paths of a certificate and its key."""
        self._run(
            name,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1",
            name,
            *("-CA", self.certificate, "-CAkey", self._folder / f"{self._name}.key"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"),
        )
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"


@pytest.fixture
def serve(start, folder, free_port):
    """Starts the server; with its address for agents."""

    def run(*flags):
        address = f"127.0.0.1:{free_port()}"
        program = start(
            *(PIPESERVE, "serve", "small", "--rank-table", folder / "rank_table.json"),
            *("--distributed-address", address, "--grpc-address", "127.0.0.1:0"),
            *("--rest-address", "", "--admin-address", "", *flags),
            cwd=folder,
        )
        program.wait_for("Waiting for 2 agents")
        return program, address

    return run


@pytest.fixture
def run_agents(start, folder, free_port):
    def run(address, *flags):
        port = free_port(RANKS)
        command = (PIPESERVE, "agent", address, "--models", "model", "--start-port", port)
        return start(*command, *flags, cwd=folder)

    return run


def answers(server):
    address = server.wait_for(r"gRPC server start success, listening on (\S+)")[1]
    (reply,) = Client(address, "small", "neg").infer({"x": np.float32([1, 2])})
    return reply["y"].tolist() == [-1, -2]


def agent_commands(launcher):
    children = pathlib.Path(f"/proc/{launcher.process.pid}/task").glob("*/children")
    pids = [pid for child in children for pid in child.read_text().split()]
    return [pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]


def test_agents_with_certificates_and_the_token_serve(serve, run_agents, folder):
    authority = Authority(folder, "ca")
    server_certificate, server_key = authority.sign("server")
    certificate, key = authority.sign("agent")
    server, address = serve(
        *("--agents-ssl-certificate", server_certificate, "--agents-ssl-private-key", server_key),
        *("--agents-ssl-ca", authority.certificate, "--agent-token-file", "token"),
    )
    agents = run_agents(
        *(address, "--ssl-ca", authority.certificate, "--ssl-certificate", certificate),
        *("--ssl-private-key", key, "--token-file", "token"),
    )
    agents.wait_for("Success to start agents")
    assert answers(server)
    commands = agent_commands(agents)
    assert len(commands) == RANKS
    assert all("--ssl-private-key" in command for command in commands)
    assert TOKEN not in "".join(commands)


def test_the_token_may_be_in_the_environment(serve, run_agents, monkeypatch):
    monkeypatch.setenv("PIPESERVE_AGENT_TOKEN", TOKEN)
    server, address = serve()
    agents = run_agents(address)
    agents.wait_for("Success to start agents")
    assert answers(server)
    assert TOKEN not in "".join(agent_commands(agents))


def test_a_launcher_without_the_token_ends_at_once_and_says_why(serve, run_agents, folder):
    _, address = serve("--agent-token-file", "token")
    began = time.monotonic()
    agents = run_agents(address)
    assert agents.wait() == 1
    assert "the server wants a token of its agents and none came" in agents.output
    (folder / "other").write_text(TOKEN[::-1])
    agents = run_agents(address, "--token-file", "other")
    assert agents.wait() == 1
    assert "the token that came is not the server's" in agents.output
    assert time.monotonic() - began < LIMIT_SECONDS / 2
    with pytest.raises(UnauthenticatedError, match="wants a token"):
        _core.report_agents_failed(address, "of a stranger", token="", ssl=None)


def test_an_agent_of_another_token_ends_without_trying_again(serve, start, folder):
    _, address = serve("--agent-token-file", "token")
    (folder / "other").write_text(TOKEN[::-1])
    program = pathlib.Path(_core.__file__).parent / "bin/pipeserve-agent"
    model = folder / "model/device0/neg.mindir"
    rank = ("--rank", 0, "--rank-size", RANKS, "--model", model)
    agent = start(program, "--server", address, *rank, "--token-file", folder / "other")
    assert agent.wait() == 2
    assert "the token that came is not the server's" in agent.output


def test_agents_without_tls_do_not_reach_a_server_with_it(serve, run_agents, folder):
    authority = Authority(folder, "ca")
    certificate, key = authority.sign("server")
    _, address = serve(
        *("--agents-ssl-certificate", certificate, "--agents-ssl-private-key", key),
        *("--agents-ssl-ca", authority.certificate),
    )
    agents = run_agents(address)
    agents.wait_for("no server at .* yet")
    agents = run_agents(address, "--ssl-ca", authority.certificate)  # No certificate of its own.
    agents.wait_for("no server whose TLS fits at .* yet")


def test_certificates_of_a_new_authority_are_taken_while_agents_serve(
    serve, run_agents, folder, start
):
    old = Authority(folder, "ca")
    server_certificate, server_key = old.sign("server")
    certificate, key = old.sign("agent")
    server, address = serve(
        *("--agents-ssl-certificate", server_certificate, "--agents-ssl-private-key", server_key),
        *("--agents-ssl-ca", old.certificate),
    )
    flags = ("--ssl-ca", old.certificate, "--ssl-certificate", certificate, "--ssl-private-key")
    agents = run_agents(address, *flags, key)
    agents.wait_for("Success to start agents")
    new = Authority(folder, "new-ca")
    for name in ("server", "agent"):
        for path in new.sign(f"new-{name}"):
            os.replace(path, folder / path.name.removeprefix("new-"))
    os.replace(new.certificate, old.certificate)
    ssl = _core.ClientSslOptions(
        certificate_file=str(certificate),
        private_key_file=str(key),
        custom_ca_file=str(old.certificate),
    )
    end = time.monotonic() + LIMIT_SECONDS
    while True:  # Each attempt is a connection of its own.
        try:
            config = _core.acquire_agent_config(address, 0.5, token="", ssl=ssl)
            break
        except RuntimeError:
            assert time.monotonic() < end, "the new certificates were not taken"
    assert config.rank_size == RANKS
    assert answers(server)  # By agents whose connections began with the old ones.
