"""The package runs no code that comes as data: no pickle, no eval, no unsafe loaders."""

import ast
import pathlib

import pytest

import pipeserve_native

ROOT = pathlib.Path(pipeserve_native.__file__).parent
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FUNCTIONS = {"eval", "exec", "compile", "execfile", "__import__"}


def offences(source):
    """The lines that would run data, and what they use."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            found += [(node.lineno, name) for name in names & (MODULES | {"yaml"})]
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").partition(".")[0]
            found += [(node.lineno, module)] if module in MODULES | {"yaml"} else []
        elif isinstance(node, ast.Call):
            found += [(node.lineno, name) for name in [forbidden_call(node)] if name]
    return found


def forbidden_call(call):
    if isinstance(call.func, ast.Name):
        return call.func.id if call.func.id in FUNCTIONS else None
    text = ast.unparse(call.func)
    if text in ("np.load", "numpy.load"):
        allowed = [word.value for word in call.keywords if word.arg == "allow_pickle"]
        if not (allowed and isinstance(allowed[0], ast.Constant) and allowed[0].value is False):
            return f"{text} without allow_pickle=False"
    return None


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.name)
def test_no_module_runs_data(path):
    assert offences(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "eval('1')",
        "exec(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_would_run_data_is_found(source):
    assert len(offences(source)) == 1


def test_loading_without_pickle_is_fine():
    assert offences("np.load(path, allow_pickle=False)") == []
