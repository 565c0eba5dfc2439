"""The README's snippets, run as they stand."""

import pathlib
import re
import runpy

import pytest

README = pathlib.Path(__file__).resolve().parents[3] / "README.md"


def snippets(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_pipeline_registers(tmp_path):
    (config,) = (code for code in snippets("python") if "register_pipeline" in code)
    folder = tmp_path / "matmul"
    folder.mkdir()
    (folder / "servable_config.py").write_text(config)
    names = runpy.run_path(str(folder / "servable_config.py"))
    assert callable(names["predict"])


def test_the_export_writes_one_file_per_rank(tmp_path, monkeypatch):
    (code,) = (code for code in snippets("python") if "export.Graph" in code)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    for rank in range(8):
        folder = tmp_path / f"model/device{rank}"
        assert {path.name for path in folder.iterdir()} == {"matmul_0.mindir", "group_config.pb"}


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z]+)", README.read_text("utf-8")))
def test_named_make_targets_exist(target):
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_named_files_exist():
    for path in re.findall(r"^\| `([^`]+)` \|", README.read_text("utf-8"), re.MULTILINE):
        assert (README.parent / path).exists(), path
