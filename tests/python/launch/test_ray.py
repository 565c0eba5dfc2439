"""Server and agents as actors on a local Ray cluster of two nodes, each with an IP of its own."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import numpy as np
import pytest

from pipeserve_native import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    _demo,
    export,
)
from pipeserve_native.client import Client

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'pipeserve-native[ray]'")

from ray.cluster_utils import Cluster  # noqa: E402

from pipeserve_native.launch import ray as launch_ray  # noqa: E402
from pipeserve_native.launch._ray_actors import rank_table  # noqa: E402

RANKS = 4
NODE_IPS = ("127.0.0.2", "127.0.0.3")  # Ray takes 127.0.0.1 for another one.
MARK = f"PIPESERVE_TEST_RAY={uuid.uuid4()}"  # In the environment of all that the cluster starts.
LITTLE = {"CPU": 0.25}
SECONDS = 60


def graph(name, weight):
    """A graph of the demo, cut over fewer ranks."""
    graph = export.Graph(name)
    x = graph.input("x", (128, 96), np.float32)
    w = graph.parameter("weight", np.full((96, 16), weight, np.float32))
    graph.output(graph.neg(graph.matmul(x, w, strategy=((1, RANKS), (RANKS, 1)))))
    return graph


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    export.save_sharded([graph("a", 0.5), graph("b", 1.5)], str(folder / "model"), ranks=RANKS)
    (folder / "matmul").mkdir()
    (folder / "matmul/servable_config.py").write_text(
        _demo.config(_demo.declare_distributed(RANKS))
    )
    return folder


@pytest.fixture(scope="module")
def cluster():
    node = {"num_cpus": 2, "object_store_memory": 100 << 20}
    head = {**node, "node_ip_address": NODE_IPS[0], "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*MARK.split("="))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(**node, node_ip_address=NODE_IPS[1])
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def serve(cluster, free_port):
    deployments = []

    def run(*args, **kwargs):
        first = free_port(3)
        ports = {"grpc_port": first, "rest_port": first + 1, "distributed_port": first + 2}
        little = {"agent_resources": LITTLE, "server_resources": LITTLE}
        deployments.append(launch_ray.serve(*args, **{**ports, **little, **kwargs}))
        return deployments[-1]

    yield run
    for deployment in deployments:
        deployment.stop()


def ask(deployment):
    ones = np.ones((128, 96), np.float32)
    return Client(deployment.address, "matmul", "predict").infer({"x": ones, "y": ones})


def answers(deployment):
    reply = ask(deployment)
    return (
        isinstance(reply, list)
        and bool((reply[0]["x"] == -96).all())
        and bool((reply[0]["z"] == -144).all())
    )


def pids(*words):
    """Processes of the cluster whose command line has all the words."""
    found = set()
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        folder = pathlib.Path("/proc", entry)
        with contextlib.suppress(OSError):  # It has ended.
            command = (folder / "cmdline").read_text()
            marked = MARK.encode() in (folder / "environ").read_bytes().split(b"\0")
            if marked and all(word in command for word in words):
                found.add(int(entry))
    return found


def agents_of(deployment):
    """Its agents: the hub is on the port after the two doors'."""
    port = int(deployment.rest_address.rpartition(":")[2]) + 1
    return pids("pipeserve-agent", f":{port}\0")


def left_folders():
    """What actors have left in the folder for temporary files."""
    job = ray.get_runtime_context().get_job_id()  # The end of every id of an actor.
    return list(pathlib.Path(tempfile.gettempdir()).glob(f"pipeserve-*{job}"))


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def test_actors_that_died_are_started_again(serve, demo):
    deployment = serve(demo / "matmul", demo / "model", agents_per_host=2)
    assert answers(deployment)
    status = deployment.status()
    assert status.available and status.reason == ""
    first, _, last, _ = status.hosts
    assert status.hosts == (first, first, last, last)
    assert {first, last} == set(NODE_IPS)
    assert deployment.address.startswith(f"{first}:")

    before = agents_of(deployment)
    assert len(before) == RANKS
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in (now := agents_of(deployment)) and len(now) == RANKS)
    deployment.wait_available(SECONDS)
    until(lambda: answers(deployment))
    assert before - agents_of(deployment) == {victim}  # The others went on.

    (server,) = pids("ray::ServerActor")
    address = deployment.address
    os.kill(server, signal.SIGKILL)
    until(lambda: pids("ray::ServerActor") not in ({server}, set()))
    deployment.wait_available(SECONDS)
    assert deployment.address == address
    assert answers(deployment)
    assert before - agents_of(deployment) == {victim}  # Agents wait for their server.

    running = agents_of(deployment)
    deployment.stop()
    assert not running & pids("pipeserve-agent")
    until(lambda: not pids("ray::ServerActor") | pids("ray::AgentActor"))
    assert not left_folders()
    deployment.stop()


def test_agents_of_one_host_use_what_lies_there(serve, demo):
    with serve(demo / "matmul", demo / "model", ship=False) as deployment:
        assert answers(deployment)
        assert len(set(deployment.status().hosts)) == 1
        folders = [
            pathlib.Path("/proc", str(pid), "cmdline").read_text() for pid in agents_of(deployment)
        ]
    assert all(str(demo / "model") in command for command in folders)


def test_a_servable_without_agents(serve, tmp_path):
    (tmp_path / "double/1").mkdir(parents=True)
    double = export.Graph("double")
    x = double.input("x", (1, 4), np.float32)
    double.output(double.add(x, x))
    double.save(str(tmp_path / "double/1/double.mindir"))
    (tmp_path / "double/servable_config.py").write_text(
        "from pipeserve_native.server import register\n"
        "register.declare_servable('double.mindir', 'MindIR', with_batch_dim=False)\n"
        "@register.register_method(output_names=['y'])\n"
        "def double(x):\n"
        "    y = register.call_servable(x)\n"
        "    return y\n"
    )
    with serve(tmp_path / "double", rest_port=0) as deployment:
        assert deployment.rest_address == ""
        (reply,) = Client(deployment.address, "double", "double").infer(
            {"x": np.ones((1, 4), np.float32)}
        )
        assert reply["y"].tolist() == [[2.0] * 4]
        assert deployment.status() == launch_ray.Status(True, "", ())


def test_what_keeps_an_actor_from_starting_is_raised(serve, demo, tmp_path):
    with pytest.raises(
        InvalidArgumentError, match=r"declared as distributed: serve\(\) needs models"
    ):
        serve(demo / "matmul")
    broken = tmp_path / "model"
    for rank in range(RANKS):
        (broken / f"device{rank}").mkdir(parents=True)
        (broken / f"device{rank}/a.mindir").write_bytes(b"none")
    with pytest.raises(FailedPreconditionError, match=r"agent of rank 0: .*a\.mindir"):
        serve(demo / "matmul", broken)
    with pytest.raises(UnavailableError, match=r"no room within 1 s for .*'NPU': 4"):
        serve(demo / "matmul", demo / "model", agent_resources={"NPU": 1}, start_timeout=1)
    until(lambda: not pids("ray::ServerActor") | pids("ray::AgentActor"))
    assert not left_folders()


def test_arguments_are_checked_before_ray_is_asked(demo, tmp_path):
    with pytest.raises(
        InvalidArgumentError, match=r"'agents_per_host' should divide .* 4, but is 3"
    ):
        launch_ray.serve(demo / "matmul", demo / "model", agents_per_host=3)
    with pytest.raises(InvalidArgumentError, match="'distributed_port'"):
        launch_ray.serve(demo / "matmul", demo / "model", distributed_port=0)
    with pytest.raises(NotFoundError, match="'servable' should be a directory"):
        launch_ray.serve(tmp_path / "none")
    with pytest.raises(NotFoundError, match="there is no directory device<r> in"):
        launch_ray.serve(demo / "matmul", tmp_path)


def test_ranks_of_a_host_are_consecutive():
    servers = json.loads(rank_table(["a", "b", "a"], 2))["server_list"]
    assert [
        (server["server_id"], [(d["rank_id"], d["device_id"]) for d in server["device"]])
        for server in servers
    ] == [
        ("a", [("0", "0"), ("1", "1")]),
        ("b", [("2", "0"), ("3", "1")]),
        ("a", [("4", "2"), ("5", "3")]),
    ]


def test_without_ray_the_import_says_what_to_install():
    code = "import sys; sys.modules['ray'] = None\nimport pipeserve_native.launch.ray\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError: pipeserve_native.launch.ray needs Ray: pip install" in done.stderr
