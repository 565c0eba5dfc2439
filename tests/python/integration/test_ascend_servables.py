"""Servables on the simulated Ascend devices: the server starts an agent for each."""

import os
import pathlib
import select
import signal
import sys

import numpy as np
import pytest

import pipeserve_native
from pipeserve_native import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
    export,
    server,
)
from pipeserve_native.client import Client

SIMULATOR = pathlib.Path(__file__).resolve().parents[3] / "build/wheel/tests/ascend"
DEADLINE_SECONDS = 60

ADD = """
from pipeserve_native.server import register

register.declare_servable("add.mindir", "MindIR", with_batch_dim=False{options})


@register.register_method(output_names=["y"])
def add(a, b):
    y = register.call_servable(a, b)
    return y
"""

NEGATIVE = """
from pipeserve_native.server import register

register.declare_servable("negative.om", "OM", with_batch_dim=False)


@register.register_method(output_names=["y"])
def negative(x):
    y = register.call_servable(x)
    return y


servable = register.PipelineServable("negative", "negative")


@register.register_pipeline(output_names=["y"])
def twice(x):
    return servable.run(servable.run(x))
"""

# What the simulator takes for a compiled model.
OM = """pipeserve-sim-model
input x float32 2,2
output y float32 2,2
neg x y
"""

SERVER = """
from pipeserve_native import server

server.start_servables(
    [
        server.ServableStartConfig(".", "sum", device_ids=1, device_type="Ascend"),
        server.ServableStartConfig(".", "negative", device_ids=0),
    ]
)
server.start_grpc_server("127.0.0.1:0")
"""

ONES = np.ones((2, 2), np.float32)


def write_sum(folder, options=""):
    graph = export.Graph("add")
    a = graph.input("a", (2, 2), np.float32)
    b = graph.input("b", (2, 2), np.float32)
    graph.output(graph.add(a, b))
    graph.save(folder / "sum/1/add.mindir")
    (folder / "sum/servable_config.py").write_text(ADD.format(options=options))


def write_negative(folder, model=OM):
    (folder / "negative/1").mkdir(parents=True)
    (folder / "negative/1/negative.om").write_text(model)
    (folder / "negative/servable_config.py").write_text(NEGATIVE)


@pytest.fixture
def devices(monkeypatch, tmp_path):
    """Simulated devices for the processes of a test, which must break none of their rules."""
    assert (SIMULATOR / "lib64").is_dir(), "build it with make install BUILD_TESTS=ON"
    report = tmp_path / "violations"
    monkeypatch.setenv("ASCEND_HOME_PATH", str(SIMULATOR))
    monkeypatch.setenv("PIPESERVE_ASCEND_SIM", "mode=lazy")
    monkeypatch.setenv("PIPESERVE_ASCEND_SIM_REPORT", str(report))
    yield
    assert not report.exists() or report.read_text() == ""


@pytest.fixture
def no_devices(monkeypatch, tmp_path):
    """A toolkit's home without the toolkit."""
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "no_toolkit"))


@pytest.fixture
def serving(devices, start_script, tmp_path):
    """The server of both servables, and its gRPC address."""
    write_sum(tmp_path)
    write_negative(tmp_path)
    program = start_script("server.py", SERVER)
    address = program.wait_for(r"gRPC server start success, listening on (\S+)").group(1)
    return program, address


def children(parent):
    tasks = pathlib.Path(f"/proc/{parent}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def has_model(pid, name):
    return any(word.endswith(name) for word in command_line(pid))


def agent_of(parent, model):
    pid = next(pid for pid in children(parent) if has_model(pid, model))
    return pid, os.pidfd_open(pid)


def wait_for_end(exit_fd):
    ready, _, _ = select.select([exit_fd], [], [], DEADLINE_SECONDS)
    os.close(exit_fd)
    assert ready, "the agent does not end"


def call_sum(address):
    return Client(address, "sum", "add").infer({"a": ONES, "b": 2 * ONES})


def call_twice(address):
    return Client(address, "negative", "twice").infer({"x": 3 * ONES})


def test_mindir_and_om_models_are_served(serving):
    program, address = serving
    for _ in range(3):
        np.testing.assert_array_equal(call_sum(address)[0]["y"], 3 * ONES)
        np.testing.assert_array_equal(call_twice(address)[0]["y"], 3 * ONES)
    assert program.terminate() == 0  # No agent is left, or its output would not end.


def test_agents_end_with_a_server_that_is_killed(serving):
    program, _ = serving
    agents = [agent_of(program.process.pid, model) for model in ("add.mindir", "negative.om")]
    program.process.kill()
    for _, exit_fd in agents:
        wait_for_end(exit_fd)


def test_an_interrupt_at_the_terminal_reaches_the_server_alone(serving):
    program, _ = serving
    agent, exit_fd = agent_of(program.process.pid, "add.mindir")
    os.close(exit_fd)
    assert os.getsid(agent) != os.getsid(program.process.pid)


def test_requests_outlive_the_death_of_an_agent(serving):
    program, address = serving
    server_pid = program.process.pid
    agent, exit_fd = agent_of(server_pid, "negative.om")
    os.kill(agent, signal.SIGKILL)
    wait_for_end(exit_fd)
    np.testing.assert_array_equal(call_twice(address)[0]["y"], 3 * ONES)  # It waits for the next.
    program.wait_for("agent of rank 0 ended with exit code -9, starting it again")
    np.testing.assert_array_equal(call_sum(address)[0]["y"], 3 * ONES)
    successor, exit_fd = agent_of(server_pid, "negative.om")
    assert successor != agent
    assert os.getsid(successor) != os.getsid(server_pid)
    assert program.terminate() == 0
    wait_for_end(exit_fd)


def test_serve_takes_a_device(devices, start, tmp_path):
    write_sum(tmp_path)
    command = pathlib.Path(sys.executable).with_name("pipeserve")
    program = start(
        command, "serve", "sum", "--device", "ascend", "--device-id", "1",
        "--grpc-address", "127.0.0.1:0", "--rest-address", "", "--admin-address", "",
    )  # fmt: skip
    address = program.wait_for(r"gRPC server start success, listening on (\S+)").group(1)
    np.testing.assert_array_equal(call_sum(address)[0]["y"], 3 * ONES)
    pid, exit_fd = agent_of(program.process.pid, "add.mindir")
    words = command_line(pid)
    assert words[words.index("--device-id") + 1] == "1"
    assert program.terminate() == 0
    wait_for_end(exit_fd)


def test_a_loaded_servable_ends_its_agent(devices, tmp_path):
    write_negative(tmp_path)
    with pipeserve_native.load(tmp_path / "negative") as servable:
        np.testing.assert_array_equal(servable.twice(3 * ONES), 3 * ONES)
        _, exit_fd = agent_of(os.getpid(), "negative.om")
        twice = servable.twice
    wait_for_end(exit_fd)
    with pytest.raises(UnavailableError):
        twice(ONES)


def test_a_missing_runtime_is_the_error_of_the_servable(no_devices, tmp_path):
    write_sum(tmp_path)
    config = server.ServableStartConfig(str(tmp_path), "sum", 0, device_type="Ascend")
    wanted = "Fail to start workers: Fail to start agents, rank 0: .*no_toolkit"
    with pytest.raises(FailedPreconditionError, match=wanted):
        server.start_servables(config)
    with pytest.raises(FailedPreconditionError, match="no_toolkit"):
        pipeserve_native.load(tmp_path / "sum", device_type="ascend")
    assert children(os.getpid()) == []


def test_a_missing_device_is_the_error_of_the_servable(devices, tmp_path):
    write_sum(tmp_path)
    with pytest.raises(FailedPreconditionError, match="there is no device 99"):
        pipeserve_native.load(tmp_path / "sum", device_type="Ascend", device_id=99)


def test_a_damaged_model_is_the_error_of_the_servable(devices, tmp_path):
    write_negative(tmp_path, OM.replace("neg", "sing"))
    with pytest.raises(FailedPreconditionError, match=r"Fail to start agents, rank 0: .*no model"):
        pipeserve_native.load(tmp_path / "negative")


def test_a_model_with_another_number_of_inputs_is_refused(devices, tmp_path):
    matmul = OM.replace("output", "input z float32 2,2\noutput").replace("neg x y", "matmul x z y")
    write_negative(tmp_path, matmul)
    with pytest.raises(InvalidArgumentError, match=r"inputs count 1 .* not equal to the count 2"):
        pipeserve_native.load(tmp_path / "negative")
    assert children(os.getpid()) == []


def test_a_servable_runs_on_one_device(tmp_path):
    write_sum(tmp_path)

    def config(device_ids, device_type="Ascend"):
        return server.ServableStartConfig(str(tmp_path), "sum", device_ids, 0, device_type)

    with pytest.raises(UnimplementedError, match=r"is to run on 2 Ascend devices \(3, 5\)"):
        server.start_servables(config((3, 5)))
    with pytest.raises(UnimplementedError, match=r"2 Ascend devices \(0, 1\)"):
        server.start_servables([config(0), config(1)])
    with pytest.raises(InvalidArgumentError, match="'Ascend' and 'CPU'"):
        server.start_servables([config(0), config(0, "CPU")])
    with pytest.raises(InvalidArgumentError, match="supported device type: 'None', 'CPU' or 'Asc"):
        server.start_servables(config(0, "GPU"))


def test_om_models_run_on_ascend_alone(tmp_path):
    write_negative(tmp_path)
    with pytest.raises(UnimplementedError, match="Not support device type CPU and model type OM"):
        pipeserve_native.load(tmp_path / "negative", device_type="CPU")
    with pytest.raises(UnimplementedError, match=r"negative\.om was compiled for Ascend"):
        pipeserve_native.Model(tmp_path / "negative/1/negative.om")
    with pytest.raises(InvalidArgumentError, match="OM models are not encrypted"):
        pipeserve_native.load(tmp_path / "negative", dec_key=b"0123456789ABCDEF")
    (tmp_path / "negative/1/negative.om").unlink()
    with pytest.raises(NotFoundError, match=r"Cannot access model file '.*negative\.om'"):
        pipeserve_native.load(tmp_path / "negative")


def test_names_say_which_format_a_model_has(tmp_path):
    write_negative(tmp_path)
    config = tmp_path / "negative/servable_config.py"
    config.write_text(NEGATIVE.replace("negative.om", "negative.bin"))
    with pytest.raises(
        InvalidArgumentError, match=r"negative\.bin is declared as OM, its name sho"
    ):
        pipeserve_native.load(tmp_path / "negative")
    config.write_text(NEGATIVE.replace('"OM"', '"MindIR"'))
    with pytest.raises(InvalidArgumentError, match=r"declared as MindIR, its name should not end"):
        pipeserve_native.load(tmp_path / "negative", device_type="Ascend")


@pytest.mark.parametrize(
    ("option", "precision"),
    [
        ("precision_mode='force_fp16'", "fp16"),
        ("precision_mode='must_keep_origin_dtype'", "strict"),
        ("input_format='ND'", "strict"),
    ],
)
def test_the_precision_mode_of_a_declaration_counts(devices, tmp_path, option, precision):
    write_sum(tmp_path, f", options=register.AclOptions({option})")
    with pipeserve_native.load(tmp_path / "sum", device_type="Ascend") as servable:
        np.testing.assert_array_equal(servable.add(ONES, ONES), 2 * ONES)
        pid, exit_fd = agent_of(os.getpid(), "add.mindir")
        words = command_line(pid)
        os.close(exit_fd)
    assert words[words.index("--precision") + 1] == precision


@pytest.mark.parametrize("option", ["insert_op_cfg_path='aipp.cfg'", "output_type='FP16'"])
def test_options_that_would_change_results_are_refused(tmp_path, option):
    write_sum(tmp_path, f", options=register.AclOptions({option})")
    with pytest.raises(
        UnimplementedError, match=f"option {option.partition('=')[0]} of AclOptions"
    ):
        pipeserve_native.load(tmp_path / "sum", device_type="Ascend")
