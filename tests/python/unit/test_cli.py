import shlex

import numpy as np
import pytest

from pipeserve_native import _cli
from pipeserve_native._cli import _infer
from pipeserve_native._core import __version__


def exit_code(*arguments):
    with pytest.raises(SystemExit) as error:
        _cli.main(arguments)
    return error.value.code


def test_version(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"pipeserve {__version__}\n"


def test_help_shows_examples(capsys):
    assert exit_code("--help") == 0
    assert "pipeserve infer localhost:5500" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["serve", "agent", "infer", "export-demo"])
def test_help_of_a_command_shows_its_examples(command, capsys):
    assert exit_code(command, "--help") == 0
    assert f"examples:\n  pipeserve {command} " in capsys.readouterr().out


def test_examples_can_be_parsed():
    texts = [_cli._serve.EXAMPLES, _cli._agent.EXAMPLES, _cli._infer.EXAMPLES]
    for line in "".join([*texts, _cli._EXPORT_EXAMPLES]).splitlines():
        assert callable(_cli._parser().parse_args(shlex.split(line)[1:]).run)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("serve",),
        ("infer", "a", "b", "c"),
        ("agent", "a", "--models", "m", "--collectives", "smoke"),
    ],
)
def test_wrong_usage_is_2(arguments, capsys):
    assert exit_code(*arguments) == 2


def test_a_name_that_is_not_the_directory_is_wrong_usage(tmp_path, capsys):
    assert _cli.main(["serve", str(tmp_path), "--name", "other"]) == 2
    assert "but the directory is called" in capsys.readouterr().err


def test_a_device_of_a_distributed_servable_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "servable_config.py").write_text(
        "from pipeserve_native.server import distributed\ndistributed.declare_servable(1, 1)\n"
    )
    arguments = ["serve", str(tmp_path), "--rank-table", "t.json", "--device", "ascend"]
    assert _cli.main(arguments) == 2
    assert "--device is told to its agents" in capsys.readouterr().err


def test_half_a_tls_configuration_is_wrong_usage(tmp_path, capsys):
    assert _cli.main(["serve", str(tmp_path), "--ssl-certificate", "a.crt"]) == 2
    assert "--ssl-private-key" in capsys.readouterr().err
    assert _cli.main(["serve", str(tmp_path), "--ssl-client-ca", "ca.crt"]) == 2
    assert _cli.main(["serve", str(tmp_path), "--agents-ssl-private-key", "a.key"]) == 2
    assert "--agents-ssl-certificate" in capsys.readouterr().err
    assert _cli.main(["serve", str(tmp_path), "--agents-ssl-ca", "ca.crt"]) == 2
    assert "--agents-ssl-ca goes with" in capsys.readouterr().err
    arguments = ["agent", "127.0.0.1:1", "--models", str(tmp_path), "--ssl-certificate", "a.crt"]
    assert _cli.main(arguments) == 2
    assert "--ssl-private-key" in capsys.readouterr().err


def test_a_missing_config_is_a_failure(tmp_path, capsys):
    assert _cli.main(["serve", str(tmp_path)]) == 1
    assert "Check servable config failed, file" in capsys.readouterr().err


def test_bad_json_is_wrong_usage(capsys):
    assert _cli.main(["infer", "localhost:1", "s", "m", "--json", "{"]) == 2
    assert _cli.main(["infer", "localhost:1", "s", "m", "--json", "3"]) == 2


def test_json_gives_the_types_that_rest_gives():
    (instance,) = _infer._read_json(
        '{"i": [1, -2], "f": [[1.5, 2]], "one": 3, "on": true, "s": "a"}'
    )
    types = {name: getattr(value, "dtype", type(value)) for name, value in instance.items()}
    assert types == {"i": np.int32, "f": np.float32, "one": np.int32, "on": np.bool_, "s": str}
    assert instance["f"].shape == (1, 2) and instance["one"].shape == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("[1, 2147483648]", "x does not fit into int32"),
        ("[[1], [1, 2]]", "x is no array"),
        ("null", "x should be numbers or text, but is None"),
    ],
)
def test_json_that_is_no_tensor_is_wrong_usage(value, text, capsys):
    assert _cli.main(["infer", "localhost:1", "s", "m", "--json", f'{{"x": {value}}}']) == 2
    assert text in capsys.readouterr().err


def test_inputs_are_arrays_or_the_bytes_of_files(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3))
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    inputs = _infer._read_inputs([f"x={tmp_path / 'x.npy'}", f"image={tmp_path / 'photo.png'}"])
    assert inputs["x"].tolist() == [0, 1, 2]
    assert inputs["image"] == b"\x89PNG"


def test_an_unreachable_server_is_a_failure(tmp_path, capsys, free_port):
    np.save(tmp_path / "x.npy", np.ones(3))
    item = f"x={tmp_path / 'x.npy'}"
    assert _cli.main(["infer", f"127.0.0.1:{free_port()}", "s", "m", "--input", item]) == 1
    assert "Grpc Error, (14, 'unavailable')" in capsys.readouterr().out


def test_export_demo_writes_everything(tmp_path, capsys):
    assert _cli.main(["export-demo", str(tmp_path)]) == 0
    for rank in range(8):
        names = sorted(path.name for path in (tmp_path / f"model/device{rank}").iterdir())
        assert names == ["group_config.pb", "matmul_0.mindir", "matmul_1.mindir"]
    for name in ("matmul/servable_config.py", "rank_table_8pcs.json", "serving_client.py"):
        assert (tmp_path / name).is_file()
