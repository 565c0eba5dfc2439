"""The specification's scenario: eight agents, two graphs, one pipeline, three scripts."""

import http.client
import json
import os
import select
import signal
import subprocess
import sys

import numpy as np
import pytest

import pipeserve_native
from pipeserve_native import _core
from pipeserve_native.client import Client

CONFIG = """
import numpy as np
from pipeserve_native.server import distributed
from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

distributed.declare_servable(rank_size=8, stage_size=1, with_batch_dim=False)


def add_preprocess(x):
    print("fun1 begins", flush=True)
    return np.add(x, x)


@register.register_method(output_names=["y"])
def fun1(x):
    x = register.call_preprocess(add_preprocess, x)
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def fun2(x):
    y = register.call_servable(x, subgraph=1)
    return y


servable1 = PipelineServable(servable_name="matmul", method="fun1", version_number=0)
servable2 = PipelineServable(servable_name="matmul", method="fun2", version_number=0)


@register.register_pipeline(output_names=["x", "z"])
def predict(x, y):
    x = servable1.run(x)
    for i in range(10):
        print(i, flush=True)
        z = servable2.run(y)
    return x, z


@register.register_pipeline(output_names=["x", "z"])
def fan_out(x, y):
    first = servable1.submit(x)
    steps = [servable2.submit(y) for _ in range(10)]
    assert all((step.result() == steps[0].result()).all() for step in steps)
    return first.result(), steps[-1].result()
"""

SERVER = """
import logging
import os
import sys
from pipeserve_native import server
from pipeserve_native.server import distributed

logging.basicConfig(level=logging.INFO)
distributed.start_servable(os.path.dirname(os.path.realpath(sys.argv[0])), "matmul",
                           rank_table_json_file="rank_table_8pcs.json", version_number=1,
                           distributed_address=sys.argv[1],
                           wait_agents_time_in_seconds=int(sys.argv[2]))
server.start_grpc_server("127.0.0.1:0")
server.start_restful_server("127.0.0.1:0")
"""

AGENT = """
import logging
import sys
from pipeserve_native.server import distributed

logging.basicConfig(level=logging.INFO)
model_files = []
group_configs = []
for i in range(8):
    model_files.append([f"model/device{i}/matmul_0.mindir", f"model/device{i}/matmul_1.mindir"])
    group_configs.append([f"model/device{i}/group_config.pb"])
distributed.startup_agents(distributed_address=sys.argv[1], model_files=model_files,
                           group_config_files=group_configs, agent_start_port=int(sys.argv[2]),
                           on_agent_failure=sys.argv[3])
"""

ONES = np.ones((128, 96), np.float32)


def write_scenario(directory, model):
    (directory / "matmul").mkdir()
    (directory / "matmul" / "servable_config.py").write_text(CONFIG)
    devices = [{"device_id": str(i), "device_ip": "", "rank_id": str(i)} for i in range(8)]
    table = {"server_list": [{"server_id": "127.0.0.1", "device": devices}]}
    (directory / "rank_table_8pcs.json").write_text(json.dumps(table))
    os.symlink(model, directory / "model")


class Scenario:
    def __init__(self, start_script, free_port, wait=0):
        self.address = f"127.0.0.1:{free_port()}"
        self._start_script = start_script
        self._agent_port = free_port(8)
        self.server = start_script("serving_server.py", SERVER, self.address, wait)
        self.agents = None

    def start_agents(self, on_agent_failure="restart"):
        self.agents = self._start_script(
            "serving_agent.py", AGENT, self.address, self._agent_port, on_agent_failure
        )
        return self.agents

    def start_all(self, on_agent_failure="restart"):
        self.start_agents(on_agent_failure).wait_for("Success to start agents, ")
        return self

    def client(self, method="predict"):
        found = self.server.wait_for(r"gRPC server start success, listening on (\S+)")
        return Client(found[1], "matmul", method)

    def agent_pids(self):
        command = ["pgrep", "-P", str(self.agents.process.pid), "-x", "pipeserve-agent"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(params=["v1.3-nccl", "v2.10-hccl"])
def scenario(request, tmp_path, shared_dir, start_script, free_port):
    write_scenario(tmp_path, shared_dir / "mindir" / "sharded" / request.param / "seed_8")
    return Scenario(start_script, free_port).start_all()


def test_the_pipeline_gives_the_documented_result(scenario):
    client = scenario.client()
    (reply,) = client.infer({"x": ONES, "y": ONES})
    np.testing.assert_array_equal(reply["x"], np.full((128, 16), -96, np.float32))
    np.testing.assert_array_equal(reply["z"], np.full((128, 16), -144, np.float32))
    (fanned_out,) = scenario.client("fan_out").infer({"x": ONES, "y": ONES})
    for name, value in reply.items():
        assert value.tobytes() == fanned_out[name].tobytes()
    scenario.server.wait_for("(?s)0\n1\n.*9\n")
    assert scenario.agents.output.count("Child 0: Receive success") == 1
    assert "shared_memory=all ranks" in scenario.server.output
    reply = client.infer([{"x": ONES, "y": ONES}, {"x": ONES[:4], "y": ONES}])
    assert "Pipeline Failed" in reply[1]["error"]
    assert scenario.server.terminate() == 0
    scenario.agents.wait()


def test_ending_the_agents_leaves_no_process(scenario):
    scenario.client()
    pids = scenario.agent_pids()
    assert len(pids) == 8
    assert scenario.agents.terminate() == 0
    assert not any(is_alive(pid) for pid in pids)


@pytest.fixture
def seed_8(tmp_path, shared_dir):
    write_scenario(tmp_path, shared_dir / "mindir" / "sharded" / "v2.10-hccl" / "seed_8")


def test_a_killed_agent_takes_its_siblings_with_it(seed_8, start_script, free_port):
    scenario = Scenario(start_script, free_port).start_all(on_agent_failure="stop")
    pids = scenario.agent_pids()
    os.kill(pids[3], signal.SIGKILL)
    scenario.agents.wait()
    assert not any(is_alive(pid) for pid in pids)


def test_a_killed_launcher_takes_its_agents_with_it(seed_8, start_script, free_port):
    scenario = Scenario(start_script, free_port).start_all()
    waits = [os.pidfd_open(pid) for pid in scenario.agent_pids()]
    scenario.agents.process.kill()
    for fd in waits:
        assert select.select([fd], [], [], 30)[0], "an agent outlives its launcher"
        os.close(fd)


def test_a_client_that_leaves_frees_the_runner_that_waits_for_a_hung_agent(
    seed_8, start_script, free_port
):
    scenario = Scenario(start_script, free_port).start_all()
    rest = scenario.server.wait_for(r"RESTful server start success, listening on (\S+)")[1]
    pid = scenario.agent_pids()[3]
    os.kill(pid, signal.SIGSTOP)
    connection = http.client.HTTPConnection(rest, timeout=30)
    body = json.dumps({"instances": {"x": ONES.tolist(), "y": ONES.tolist()}})
    connection.request("POST", "/model/matmul:predict", body)
    scenario.server.wait_for("fun1 begins")
    connection.close()
    scenario.server.wait_for("predict failed: Run failed: the client has left")
    os.kill(pid, signal.SIGCONT)
    # The call has gone on, and its late result is not taken for that of a later one.
    (reply,) = scenario.client().infer({"x": ONES, "y": ONES})
    np.testing.assert_array_equal(reply["x"], np.full((128, 16), -96, np.float32))
    np.testing.assert_array_equal(reply["z"], np.full((128, 16), -144, np.float32))
    assert "has not finished within" not in scenario.server.output  # The group has not ended.


def test_too_few_agents(seed_8, start_script, free_port):
    scenario = Scenario(start_script, free_port, wait=1)
    assert scenario.server.wait() == 1
    text = "Failed to wait for ready of all agents, current agents count: 0, rank size: 8"
    assert text in scenario.server.output


def test_ctrl_c_while_waiting_for_agents(seed_8, start_script, free_port):
    scenario = Scenario(start_script, free_port)
    # The agents' door is open as soon as the configuration can be had.
    _core.acquire_agent_config(scenario.address, 30.0, token="", ssl=None)
    scenario.server.process.send_signal(signal.SIGINT)
    assert scenario.server.wait(20) != 0
    assert "KeyboardInterrupt" in scenario.server.output


def test_missing_model_files(seed_8, tmp_path, start_script, free_port):
    os.unlink(tmp_path / "model")
    scenario = Scenario(start_script, free_port)
    assert scenario.start_agents().wait() == 1
    assert "Cannot access model file" in scenario.agents.output


@pytest.mark.parametrize(
    ("lane", "wait", "collectives"),
    [
        *((lane, wait, "auto") for lane in ("auto", "shm", "grpc") for wait in ("last", "all")),
        ("auto", "last", "socket"),
        ("auto", "last", "gloo"),
    ],
)
def test_the_exported_demo(tmp_path, start, free_port, lane, wait, collectives):
    pipeserve = os.path.join(os.path.dirname(sys.executable), "pipeserve")
    assert start(pipeserve, "export-demo", tmp_path / "demo").wait() == 0
    address = f"127.0.0.1:{free_port()}"
    table = tmp_path / "demo" / "rank_table_8pcs.json"
    addresses = ["--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", ""]
    server = start(
        pipeserve, "serve", tmp_path / "demo" / "matmul", "--rank-table", table,
        "--distributed-address", address, *addresses, "--lane", lane, "--wait", wait,
    )  # fmt: skip
    port = free_port(8)
    agents = start(
        pipeserve, "agent", address, "--models", tmp_path / "demo/model", "--start-port", port,
        "--collectives", collectives,
    )  # fmt: skip
    agents.wait_for("Success to start agents, ")
    grpc = server.wait_for(r"gRPC server start success, listening on (\S+)")[1]
    np.save(tmp_path / "ones.npy", ONES)
    inputs = ["--input", f"x={tmp_path}/ones.npy", "--input", f"y={tmp_path}/ones.npy"]
    infer = start(pipeserve, "infer", grpc, "matmul", "predict", *inputs)
    assert infer.wait() == 0, infer.output
    assert "x: [[-96. -96." in infer.output and "z: [[-144. -144." in infer.output


def test_an_embedded_servable_runs_on_agents(tmp_path, shared_dir, start_script, free_port):
    write_scenario(tmp_path, shared_dir / "mindir" / "sharded" / "v2.10-hccl" / "seed_8")
    address = f"127.0.0.1:{free_port()}"
    table = tmp_path / "rank_table_8pcs.json"
    place = {"rank_table_json_file": table, "distributed_address": address}
    with pytest.raises(pipeserve_native.DeadlineExceededError, match="count: 0, rank size: 8"):
        pipeserve_native.load(tmp_path / "matmul", **place, wait_timeout=0.05)
    with pytest.raises(pipeserve_native.InvalidArgumentError, match="needs rank_table_json_file"):
        pipeserve_native.load(tmp_path / "matmul")
    agents = start_script("serving_agent.py", AGENT, address, free_port(8), "restart")
    with pipeserve_native.load(tmp_path / "matmul", **place) as matmul:
        x, z = matmul.predict(ONES, ONES)
        np.testing.assert_array_equal(x, np.full((128, 16), -96, np.float32))
        np.testing.assert_array_equal(z, np.full((128, 16), -144, np.float32))
        for wanted, output in zip((x, z), matmul.fan_out(x=ONES, y=ONES), strict=True):
            assert wanted.tobytes() == output.tobytes()
    assert agents.wait() == 0
