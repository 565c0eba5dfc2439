"""The table of names in migrating-from-mindspore-serving.md is true of the package."""

import ast
import importlib
import inspect
import pathlib
import re

import numpy as np
import pytest

from pipeserve_native import InvalidArgumentError, UnimplementedError, export, server
from pipeserve_native.client import Client

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs/migrating-from-mindspore-serving.md"
ANY = inspect.Parameter.VAR_POSITIONAL

# The public names of MindSpore Serving r1.3 whose rows must be there.
NAMES = [
    "client.Client",
    "client.Client.infer",
    "client.Client.infer_async",
    "client.SSLConfig",
    "master.context.set_max_enqueued_requests",
    "master.start_grpc_server",
    "master.start_restful_server",
    "master.stop",
    "server.SSLConfig",
    "server.ServableStartConfig",
    "server.master.context.set_max_enqueued_requests",
    "server.start_grpc_server",
    "server.start_restful_server",
    "server.start_servables",
    "server.stop",
    "server.distributed.declare_servable",
    "server.distributed.start_servable",
    "server.distributed.startup_agents",
    "server.register.AclOptions",
    "server.register.GpuOptions",
    "server.register.PipelineServable",
    "server.register.PipelineServable.run",
    "server.register.call_postprocess",
    "server.register.call_postprocess_pipeline",
    "server.register.call_preprocess",
    "server.register.call_preprocess_pipeline",
    "server.register.call_servable",
    "server.register.declare_servable",
    "server.register.register_method",
    "server.register.register_pipeline",
    "worker.distributed.declare_distributed_servable",
    "worker.distributed.start_distributed_servable_in_master",
    "worker.distributed.startup_worker_agents",
    "worker.start_servable_in_master",
    "worker.stop",
]


def rows():
    text = PAGE.read_text("utf-8")
    table = text[text.index("## Every name") : text.index("## What scripts could notice")]
    return re.findall(r"^\| `([^`]+)` \| (\w+) \|", table, re.MULTILINE)


def dotted(signature):
    return signature.partition("(")[0]


def resolve(name):
    """The object of a dotted name, whose first parts are modules that can be imported."""
    parts = name.split(".")
    found = importlib.import_module(f"pipeserve_native.{parts[0]}")
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(f"pipeserve_native.{'.'.join(parts[:i])}")
        found = getattr(found, part)
    return found


def parameters(signature):
    """(name, default) of each parameter as the page writes them; "*args" is one name."""
    arguments = ast.parse(f"lambda {signature}: 0", mode="eval").body.args
    names = [arg.arg for arg in arguments.args]
    defaults = [inspect.Parameter.empty] * (len(names) - len(arguments.defaults))
    defaults += [ast.literal_eval(default) for default in arguments.defaults]
    pairs = list(zip(names, defaults, strict=True))
    if arguments.vararg:
        pairs.append((f"*{arguments.vararg.arg}", inspect.Parameter.empty))
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        pairs.append((arg.arg, ast.literal_eval(default)))
    return pairs


def actual_parameters(function):
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "self":
            found.append((f"*{name}" if parameter.kind is ANY else name, parameter.default))
    return found


def test_every_public_name_has_its_row():
    assert set(NAMES) <= {dotted(name) for name, _ in rows()}


@pytest.mark.parametrize(("signature", "kind"), rows())
def test_row(signature, kind):
    assert kind in ("same", "better")
    found = resolve(dotted(signature))
    if "(" not in signature:
        return
    said = parameters(signature.partition("(")[2][:-1])
    actual = actual_parameters(found)
    if kind == "same":
        assert actual == said
    else:  # What is new comes after what was there, by keyword.
        assert actual[: len(said)] == said
        assert all(default is not inspect.Parameter.empty for _, default in actual[len(said) :])


CONFIG = """
from pipeserve_native.server import register

register.declare_servable("neg.{format}", "{format}", with_batch_dim=False)


@register.register_method(output_names=["y"])
def neg(x):
    y = register.call_servable(x)
    return y
"""


@pytest.fixture
def start_servable(tmp_path, monkeypatch):
    """Starts a servable, as a script in an empty folder would."""

    def start_it(model_format="MindIR", **options):
        graph = export.Graph("neg")
        graph.output(graph.neg(graph.input("x", (1,), np.float32)))
        graph.save(tmp_path / f"models/small/1/neg.{model_format}")
        config = tmp_path / "models/small/servable_config.py"
        config.write_text(CONFIG.format(format=model_format))
        config = server.ServableStartConfig(str(tmp_path / "models"), "small", 0, **options)
        server.start_servables(config)

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield start_it
    server.stop()


def test_other_devices_are_refused(start_servable):
    with pytest.raises(InvalidArgumentError, match="supported device type: 'None', 'CPU' or 'Asc"):
        start_servable(device_type="GPU")


def test_om_is_refused_on_a_cpu(start_servable):
    with pytest.raises(UnimplementedError, match="model type OM"):
        start_servable("OM", device_type="CPU")


def test_nothing_is_written_to_the_working_directory(start_servable, tmp_path):
    start_servable()
    server.start_grpc_server(f"unix:{tmp_path}/socket")
    (result,) = Client(f"unix:{tmp_path}/socket", "small", "neg").infer({"x": np.float32([3])})
    assert result["y"] == -3
    assert list((tmp_path / "work").iterdir()) == []
