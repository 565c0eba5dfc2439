"""``pipeserve_native.load``: pipelines called like functions, by the process that loaded them."""

import gc
import os
import shutil
import signal
import sys
import threading
import traceback
import weakref

import numpy as np
import pytest

import pipeserve_native
from pipeserve_native import export

CONFIG = """
import signal
import threading
import time

import numpy as np
from pipeserve_native.server import register
from pipeserve_native.server.register import PipelineServable

register.declare_servable(["add.mindir"], "MindIR", with_batch_dim=False)


def refuse(a):
    if a[0] < 0:
        raise ValueError("no roots of negative numbers")
    return np.sqrt(a)


@register.register_method(output_names=["y"])
def add(a, b):
    y = register.call_servable(a, b, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def roots(a, b):
    a = register.call_preprocess(refuse, a)
    y = register.call_servable(a, b, subgraph=0)
    return y
"""

PIPELINES = """

added = PipelineServable("calculator", "add")
rooted = PipelineServable("calculator", "roots")


@register.register_pipeline(output_names=["once", "twice"])
def predict(a, b):
    once = added.run(a, b, keep=True)
    return once, added.run(once, b)


@register.register_pipeline(output_names=["y"])
def root(a, b):
    return rooted.run(a, b)


@register.register_pipeline(output_names=["thread", "text", "data", "shape"])
def kinds(text, data, number):
    return threading.get_ident(), text + "!", bytes(data) + b"!", np.array(number.shape)


@register.register_pipeline(output_names=["y"], timeout=0.05)
def late(a, b):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        y = added.run(a, b)
    return y


@register.register_pipeline(output_names=["y"])
def interrupted(a, b):
    signal.raise_signal(signal.SIGINT)
    return added.run(a, b)


@register.register_pipeline(output_names=["y"])
def gated(a):
    inside.set()
    assert gate.wait(10)
    return a


inside, gate = threading.Event(), threading.Event()
"""

A = np.array([1, 4, 9], np.float32)
B = np.array([10, 20, 30], np.float32)


@pytest.fixture
def calculator(tmp_path):
    """A servable's folder; the argument is its config."""

    def write(config=CONFIG + PIPELINES):
        folder = tmp_path / "calculator"
        (folder / "2").mkdir(parents=True)
        graph = export.Graph("add")
        graph.output(graph.add(*(graph.input(name, (3,), np.float32) for name in "ab")))
        graph.save(folder / "2" / "add.mindir")
        (folder / "servable_config.py").write_text(config)
        return folder

    return write


def test_pipelines_are_called_like_functions(calculator):
    with pipeserve_native.load(calculator()) as loaded:
        assert (loaded.name, loaded.version) == ("calculator", 2)
        assert {"predict", "kinds"} <= set(loaded.callables) and "predict" in dir(loaded)
        assert loaded.predict.input_names == ("a", "b")
        assert loaded.predict.output_names == ("once", "twice")
        assert repr(loaded.predict) == "<calculator.predict(a, b) -> once, twice>"
        for once, twice in (
            loaded.predict(A, B),
            loaded.predict(A, b=B),
            loaded.predict(b=B, a=A),
            loaded["predict"](A, B),
            loaded.predict(np.stack([A, A])[:, ::1][0], np.stack([B, A], axis=1)[:, 0]),
        ):
            np.testing.assert_array_equal(once, A + B)
            np.testing.assert_array_equal(twice, A + B + B)
            assert not once.flags.writeable
    with pytest.raises(pipeserve_native.UnavailableError):
        loaded.predict(A, B)
    loaded.close()


def test_values_are_those_of_a_client_and_run_on_the_calling_thread(calculator):
    loaded = pipeserve_native.load(str(calculator()))
    thread, text, data, shape = loaded.kinds("a", b"b", 3)
    assert (thread, text, data, list(shape)) == (threading.get_ident(), "a!", b"b!", [1])


def test_methods_are_called_where_there_is_no_pipeline(calculator):
    loaded = pipeserve_native.load(calculator(CONFIG))
    np.testing.assert_array_equal(loaded.add(A, B), A + B)
    np.testing.assert_array_equal(loaded.roots(A, B), np.sqrt(A) + B)


def test_wrong_calls_say_what_was_wanted(calculator):
    loaded = pipeserve_native.load(calculator())
    wanted = r"calculator.predict takes 2 inputs \(a, b\), "
    for arguments, named, came in (
        ((A,), {}, "1 by position came"),
        ((A, B, B), {}, "3 by position came"),
        ((A,), {"c": B}, "1 by position and c by name came"),
        ((A, B), {"b": B}, "2 by position and b by name came"),
        ((), {"b": B}, "0 by position and b by name came"),
    ):
        with pytest.raises(pipeserve_native.InvalidArgumentError, match=wanted + came):
            loaded.predict(*arguments, **named)
    with pytest.raises(ValueError, match="predict input 1: Not support value type"):
        loaded.predict(A, [1, 2, 3])
    with pytest.raises(pipeserve_native.InvalidArgumentError, match=r"calculator\.add"):
        loaded.predict(A, B[:2])
    with pytest.raises(AttributeError, match="no pipeline or method forecast, only predict, "):
        loaded.forecast  # noqa: B018
    assert not hasattr(loaded, "__len__")


def test_what_a_function_raised_is_the_cause(calculator, caplog):
    loaded = pipeserve_native.load(calculator())
    with pytest.raises(pipeserve_native.InternalError) as caught:
        loaded.root(-A, B)
    of_run = caught.value.__cause__
    assert isinstance(of_run, pipeserve_native.InternalError)
    assert isinstance(of_run.__cause__, ValueError)
    shown = "".join(traceback.format_exception(caught.value))
    assert 'raise ValueError("no roots of negative numbers")' in shown
    assert caplog.records == []  # It is raised, so it is not logged.
    np.testing.assert_array_equal(loaded.root(A, B), np.sqrt(A) + B)


def test_control_c_ends_a_call(calculator):
    loaded = pipeserve_native.load(calculator())
    with pytest.raises(KeyboardInterrupt):
        loaded.interrupted(A, B)
    np.testing.assert_array_equal(loaded.predict(A, B)[0], A + B)


def test_a_call_has_a_deadline(calculator):
    with pytest.raises(pipeserve_native.DeadlineExceededError):
        pipeserve_native.load(calculator()).late(A, B)


def test_servables_of_one_process_are_independent(calculator):
    folder = calculator()
    first, second = pipeserve_native.load(folder), pipeserve_native.load(folder, version=2)
    first.close()
    np.testing.assert_array_equal(second.predict(A, B)[0], A + B)


def test_close_awaits_the_calls_that_run(calculator):
    loaded = pipeserve_native.load(calculator())
    config = loaded.gated  # A pipeline alone keeps the servable.
    module = sys.modules["calculator.servable_config"]
    results = []
    caller = threading.Thread(target=lambda: results.append(config(A)))
    caller.start()
    assert module.inside.wait(10)
    closer = threading.Thread(target=loaded.close)
    closer.start()
    assert closer.is_alive()
    module.gate.set()
    closer.join()
    caller.join()
    np.testing.assert_array_equal(results[0], A)


def test_it_is_closed_with_its_last_reference(calculator):
    loaded = pipeserve_native.load(calculator())
    predict = loaded.predict
    del loaded
    gc.collect()
    np.testing.assert_array_equal(predict(A, B)[0], A + B)
    home = weakref.ref(predict._home)
    del predict
    gc.collect()
    assert home() is None


def test_many_threads_call_at_once(calculator):
    loaded = pipeserve_native.load(calculator())
    wrong = []

    def call(number):
        mine = np.full(3, number, np.float32)
        for _ in range(50):
            once, twice = loaded.predict(mine, B)
            if (once != mine + B).any() or (twice != mine + B + B).any():
                wrong.append((number, once, twice))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_fork_is_told_to_load_for_itself(calculator):
    loaded = pipeserve_native.load(calculator())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # Nothing of pytest may run here.
        try:
            loaded.predict(A, B)
        except pipeserve_native.FailedPreconditionError as error:
            os.write(writer, str(error).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    with os.fdopen(reader) as text:
        assert f"was made by process {os.getpid()} and cannot be used" in text.read()
    os.waitpid(child, 0)


def test_what_cannot_be_loaded_says_why(calculator, tmp_path):
    with pytest.raises(pipeserve_native.NotFoundError, match="nowhere' not exist"):
        pipeserve_native.load(tmp_path / "nowhere")
    folder = calculator()
    with pytest.raises(pipeserve_native.NotFoundError, match="specified version number: 3"):
        pipeserve_native.load(folder, version=3)
    with pytest.raises(pipeserve_native.InvalidArgumentError, match="not declared as distributed"):
        pipeserve_native.load(folder, rank_table_json_file="ranks.json")
    with pytest.raises(pipeserve_native.InvalidArgumentError, match="'directory' should be str"):
        pipeserve_native.load(b"calculator")
    shutil.rmtree(folder / "2")
    with pytest.raises(pipeserve_native.NotFoundError, match="no valid version"):
        pipeserve_native.load(folder)


SCRIPT = """
import sys
import numpy as np
import pipeserve_native

model = pipeserve_native.load(sys.argv[1])
print(model.predict(np.zeros(3, np.float32), np.ones(3, np.float32)))
"""


def test_a_script_that_never_closes_ends(calculator, start_script):
    script = start_script("script.py", SCRIPT, calculator())
    assert script.wait() == 0
    assert "array([1., 1., 1.], dtype=float32), array([2., 2., 2.]" in script.output
