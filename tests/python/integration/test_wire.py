"""The wire format, spoken by a client made from the .proto file with PyPI's grpcio."""

import importlib.util
import sys

import grpc
import numpy as np
import pytest
from grpc_tools import protoc

from pipeserve_native import export, server

CONFIG = """
from pipeserve_native.server import register

register.declare_servable("neg.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def neg(x):
    y = register.call_servable(x)
    return y
"""

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def protocol(tmp_path_factory, request):
    out = tmp_path_factory.mktemp("proto")
    arguments = [f"-I{request.config.rootpath / 'proto'}", f"--python_out={out}"]
    assert protoc.main(["protoc", *arguments, "ms_service.proto"]) == 0
    return load(out / "ms_service_pb2.py")


@pytest.fixture
def predict(tmp_path, protocol, capsys):
    graph = export.Graph("neg")
    graph.output(graph.neg(graph.input("x", (2, 3), np.float32)))
    graph.save(tmp_path / "negative" / "1" / "neg.mindir")
    (tmp_path / "negative" / "servable_config.py").write_text(CONFIG)
    server.start_servables(server.ServableStartConfig(str(tmp_path), "negative", 0))
    server.start_grpc_server("127.0.0.1:0", max_msg_mb_size=1)
    address = capsys.readouterr().out.rsplit(" ", 1)[1].strip()
    with grpc.insecure_channel(address) as channel:
        yield channel.unary_unary(
            "/mindspore.serving.proto.MSService/Predict",
            request_serializer=protocol.PredictRequest.SerializeToString,
            response_deserializer=protocol.PredictReply.FromString,
        )
    server.stop()


def make_request(protocol, *arrays):
    request = protocol.PredictRequest()
    request.servable_spec.name = "negative"
    request.servable_spec.method_name = "neg"
    for array in arrays:
        tensor = request.instances.add().items["x"]
        tensor.dtype = protocol.MS_FLOAT32
        tensor.shape.dims.extend(array.shape)
        tensor.data = array.tobytes()
    return request


def test_a_reply_has_the_original_fields(predict, protocol):
    reply = predict(make_request(protocol, X, X + 1), timeout=30)
    assert reply.servable_spec.name == "negative" and reply.servable_spec.version_number == 0
    assert not reply.error_msg
    for instance, x in zip(reply.instances, (X, X + 1), strict=True):
        tensor = instance.items["y"]
        assert tensor.dtype == protocol.MS_FLOAT32 and list(tensor.shape.dims) == [2, 3]
        np.testing.assert_array_equal(np.frombuffer(tensor.data, np.float32).reshape(2, 3), -x)


def test_an_input_of_another_shape_and_the_same_size_is_taken(predict, protocol):
    reply = predict(make_request(protocol, X.reshape(3, 2)), timeout=30)
    assert not reply.error_msg


def test_errors_are_inside_the_reply(predict, protocol):
    request = make_request(protocol, X)
    request.servable_spec.method_name = "fly"
    reply = predict(request, timeout=30)
    assert [error.error_code for error in reply.error_msg] == [2]
    assert b"method is not available" in reply.error_msg[0].error_msg


def test_equal_errors_of_all_instances_are_one(predict, protocol):
    reply = predict(make_request(protocol, X[0], X[1]), timeout=30)
    assert len(reply.error_msg) == 1 and not reply.instances
    reply = predict(make_request(protocol, X, X[1]), timeout=30)
    assert [error.error_code for error in reply.error_msg] == [0, 2]
    assert len(reply.instances) == 2


def test_data_that_does_not_fit_its_shape(predict, protocol):
    request = make_request(protocol, X)
    request.instances[0].items["x"].data += b"1234"
    reply = predict(request, timeout=30)
    assert b"input data size 28 invalid" in reply.error_msg[0].error_msg


def test_no_instances_is_answered(predict, protocol):
    assert predict(make_request(protocol), timeout=30).error_msg


def test_a_message_that_is_too_large(predict, protocol):
    with pytest.raises(grpc.RpcError) as error:
        predict(make_request(protocol, np.zeros(1 << 19, np.float32)), timeout=30)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
