"""TLS on both doors, and encrypted models, in one process."""

import json
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request

import numpy as np
import pytest

from pipeserve_native import _cli, server
from pipeserve_native.client import Client, SSLConfig

KEY = b"0123456789ABCDEF"

CONFIG = """
from pipeserve_native.server import register

register.declare_servable("small.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def predict(x):
    y = register.call_servable(x)
    return y
"""


def make_certificate(folder, name):
    """A certificate of localhost that signs itself, so that it is its own CA."""
    flags = (
        "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    )
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    subprocess.run(
        ["openssl", "req", *flags.split(), "-addext", names, *files],
        check=True,
        capture_output=True,
    )
    return str(folder / f"{name}.crt"), str(folder / f"{name}.key")


@pytest.fixture
def serve(tmp_path, shared_dir, capsys):
    """Loads a model of `shared`; a function that gives what a door printed as its address."""

    def load(model, **options):
        folder = tmp_path / "small/1"
        folder.mkdir(parents=True)
        shutil.copy(shared_dir / "mindir" / model, folder / "small.mindir")
        (tmp_path / "small/servable_config.py").write_text(CONFIG)
        server.start_servables(server.ServableStartConfig(str(tmp_path), "small", 0, **options))

    yield load
    server.stop()


def port(capsys):
    return capsys.readouterr().out.strip().rsplit(":", 1)[1]


@pytest.fixture
def expected(shared_dir):
    with np.load(shared_dir / "mindir/data/matmul_small.npz") as data:
        return data["in0"], data["out0"]


def test_the_admin_door_wants_the_certificate_of_an_operator(tmp_path, serve, capsys):
    serve("v2.10/matmul_small.mindir")
    certificate, key = make_certificate(tmp_path, "server")
    operator, operator_key = make_certificate(tmp_path, "operator")
    config = server.SSLConfig(certificate, key, custom_ca=operator, verify_client=True)
    server.start_admin_server("127.0.0.1:0", config)
    arguments = ["status", "--admin-address", f"localhost:{port(capsys)}", "--ssl-ca", certificate]
    assert _cli.main(arguments) == 1
    assert "no server answers" in capsys.readouterr().err
    shown = ["--ssl-certificate", operator, "--ssl-private-key", operator_key]
    assert _cli.main([*arguments, *shown]) == 0
    assert "small     1 *      READY" in capsys.readouterr().out


def test_both_doors_speak_tls(tmp_path, serve, expected, capsys):
    serve("v2.10/matmul_small.mindir")
    certificate, key = make_certificate(tmp_path, "server")
    config = server.SSLConfig(certificate, key)
    x, y = expected
    server.start_grpc_server("127.0.0.1:0", ssl_config=config)
    client = Client(
        f"localhost:{port(capsys)}", "small", "predict", ssl_config=SSLConfig(custom_ca=certificate)
    )
    np.testing.assert_allclose(client.infer({"x": x})[0]["y"], y, rtol=1e-5)

    server.start_restful_server("127.0.0.1:0", ssl_config=config)
    url = f"https://localhost:{port(capsys)}/model/small:predict"
    request = urllib.request.Request(url, json.dumps({"instances": {"x": x.tolist()}}).encode())
    context = ssl.create_default_context(cafile=certificate)
    with urllib.request.urlopen(request, timeout=30, context=context) as reply:
        values = json.load(reply)["instances"][0]["y"]
    np.testing.assert_allclose(values, y, rtol=1e-5)


def test_a_client_without_a_certificate_is_turned_away(tmp_path, serve, expected, capsys):
    serve("v2.10/matmul_small.mindir")
    certificate, key = make_certificate(tmp_path, "server")
    trusted, trusted_key = make_certificate(tmp_path, "client")
    config = server.SSLConfig(certificate, key, custom_ca=trusted, verify_client=True)
    server.start_grpc_server("127.0.0.1:0", ssl_config=config)
    address = f"localhost:{port(capsys)}"
    x, y = expected
    without = SSLConfig(custom_ca=certificate)
    assert (
        "Grpc Error, (14"
        in Client(address, "small", "predict", 0, without).infer({"x": x})["error"]
    )
    with_one = SSLConfig(trusted, trusted_key, certificate)
    reply = Client(address, "small", "predict", 0, with_one).infer({"x": x})
    np.testing.assert_allclose(reply[0]["y"], y, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("variants/v1.3/enc_gcm.mindir", "AES-GCM"),
        ("variants/v2.10/enc_gcm.mindir", "AES-GCM"),
        ("variants/v2.10/enc_cbc.mindir", "AES-CBC"),
    ],
)
def test_an_encrypted_model_runs_with_its_key(serve, expected, capsys, model, mode):
    serve(model, dec_key=KEY, dec_mode=mode)
    server.start_grpc_server("127.0.0.1:0")
    x, y = expected
    reply = Client(f"localhost:{port(capsys)}", "small", "predict").infer({"x": x})
    np.testing.assert_allclose(reply[0]["y"], y, rtol=1e-5)


def test_an_encrypted_model_without_a_key_is_refused(serve):
    with pytest.raises(RuntimeError, match=r"small\.mindir.*encrypted"):
        serve("variants/v2.10/enc_gcm.mindir")


def test_real_http_status_codes_are_an_option(serve, capsys):
    serve("v2.10/matmul_small.mindir")
    server.start_restful_server("127.0.0.1:0", http_status_codes=True)
    url = f"http://127.0.0.1:{port(capsys)}/model/small:missing"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url, b'{"instances": {"x": 1}}', timeout=30)
    assert error.value.code == 404
    assert "method is not available" in json.load(error.value)["error_msg"]
