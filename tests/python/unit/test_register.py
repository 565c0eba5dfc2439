"""What a servable_config.py may say, and the texts for what it may not."""

import re

import numpy as np
import pytest

from pipeserve_native import Error, FailedPreconditionError, InvalidArgumentError, _registry
from pipeserve_native.server import distributed, register


def raises(text, error=InvalidArgumentError):
    return pytest.raises(error, match=re.escape(text))


@pytest.fixture
def registry():
    registry = _registry.Registry("matmul")
    token = _registry.loading.set(registry)
    yield registry
    _registry.loading.reset(token)


@pytest.fixture
def declared(registry):
    distributed.declare_servable(rank_size=8, stage_size=1, with_batch_dim=False)
    return registry


def double(x):
    return np.add(x, x)


def test_a_method_is_recorded_and_its_steps_are_built(declared):
    @register.register_method(output_names=["y"])
    def fun1(x):
        x = register.call_preprocess(double, x)
        y = register.call_servable(x, subgraph=1)
        return y

    method = declared.methods["fun1"]
    assert method.input_names == ["x"]
    assert method.output_names == ["y"]
    assert method.preprocess.name == "double"
    assert method.preprocess.output_count == 1
    assert declared.graph_counts == {1: (1, 1)}
    declared.build(1)


def test_the_function_is_returned_unchanged(declared):
    def predict(x):
        return x

    assert register.register_pipeline(output_names="x")(predict) is predict


def test_targets_say_how_many_outputs_a_step_has(declared):
    def split(x):
        return x, x

    @register.register_method(output_names=["a", "b"])
    def fun(x):
        x1, x2 = register.call_preprocess(split, x)
        a, b = register.call_servable(x1, x2)
        return a, b

    assert declared.methods["fun"].preprocess.output_count == 2
    assert declared.graph_counts == {0: (2, 2)}


def test_outside_of_a_config_there_is_no_registry():
    with raises("Failed to obtain the directory of servable_config.py", FailedPreconditionError):
        distributed.declare_servable(8, 1)


def test_a_config_imported_by_hand_registers_under_its_directory(tmp_path):
    directory = tmp_path / "byhand"
    directory.mkdir()
    path = directory / "servable_config.py"
    source = (
        "from pipeserve_native.server import distributed\n"
        "from pipeserve_native.server.register import PipelineServable\n"
        "distributed.declare_servable(8, 1)\n"
        "servable = PipelineServable('byhand', 'fun')\n"
    )
    values = {}
    exec(compile(source, path, "exec"), values)
    assert values["servable"]._registry.name == "byhand"
    with raises("Run failed: Run worker for inference failed, worker has not been started", Error):
        values["servable"].run(1)


def test_a_servable_is_declared_once(declared):
    with raises("Servable matmul has already been declared as: "):
        distributed.declare_servable(8, 1)


def test_a_method_needs_a_declared_servable(registry):
    with raises("RegisterInputOutputInfo failed, cannot find servable matmul"):

        @register.register_method(output_names="y")
        def fun(x):
            y = register.call_servable(x)
            return y


def test_a_method_needs_a_graph(declared):
    with raises("Not find the invoke of 'call_servable'"):

        @register.register_method(output_names="x")
        def fun(x):
            return x


def test_a_method_is_registered_once(declared):
    def fun(x):
        y = register.call_servable(x)
        return y

    register.register_method(output_names="y")(fun)
    with raises("Method fun has been registered more than once."):
        register.register_method(output_names="y")(fun)


def test_a_pipeline_is_registered_once(declared):
    def predict(x):
        return x

    register.register_pipeline(output_names="x")(predict)
    with raises("Raise failed: Pipeline predict has been registered more than once."):
        register.register_pipeline(output_names="x")(predict)


def test_output_counts_must_agree(declared):
    with raises("Method return output size 1 not match registered 2"):

        @register.register_method(output_names=["y", "z"])
        def fun(x):
            y = register.call_servable(x)
            return y


def test_a_value_is_no_placeholder(declared):
    with raises("'numpy.ndarray' object has no attribute 'as_pair'"):

        @register.register_method(output_names="y")
        def fun(x):
            y = register.call_servable(np.ones(3))
            return y


def test_parameter_kinds(declared):
    def positional(*args):
        return args

    def keywords(**kwargs):
        return kwargs

    def keyword_only(*, x):
        return x

    with raises("'positional' input args cannot be VAR_POSITIONAL !"):
        register.register_pipeline(output_names="y")(positional)
    with raises("'keywords' input kwargs cannot be VAR_KEYWORD !"):
        register.register_pipeline(output_names="y")(keywords)
    with raises("'keyword_only' input x cannot be KEYWORD_ONLY !"):
        register.register_pipeline(output_names="y")(keyword_only)


def test_order_preprocess_twice(declared):
    with raises(
        "Check failed in method 'fun', "
        "call_preprocess or call_preprocess_pipeline should not be invoked more than once"
    ):

        @register.register_method(output_names="y")
        def fun(x):
            x = register.call_preprocess(double, x)
            x = register.call_preprocess(double, x)
            y = register.call_servable(x)
            return y


def test_order_preprocess_after_graph(declared):
    with raises("Check failed in method 'fun', call_servable should be invoked after"):

        @register.register_method(output_names="y")
        def fun(x):
            y = register.call_servable(x)
            y = register.call_preprocess(double, y)
            return y


def test_order_graph_twice(declared):
    with raises("Check failed in method 'fun', call_servable should not be invoked more than once"):

        @register.register_method(output_names="y")
        def fun(x):
            y = register.call_servable(x)
            y = register.call_servable(y)
            return y


def test_order_postprocess_before_graph(declared):
    with raises(
        "Check failed in method 'fun', call_postprocess or call_postprocess_pipeline should be "
        "invoked after call_servable"
    ):

        @register.register_method(output_names="y")
        def fun(x):
            x = register.call_postprocess(double, x)
            y = register.call_servable(x)
            return y


def test_function_argument_count(declared):
    with raises("function double input args count 1 not match registered in method count 2"):

        @register.register_method(output_names="y")
        def fun(a, b):
            x = register.call_preprocess(double, a, b)
            y = register.call_servable(x)
            return y


def test_no_arguments(declared):
    with raises("Invalid 'call_preprocess' invoke args"):

        @register.register_method(output_names="y")
        def fun(a):
            x = register.call_preprocess(double)
            y = register.call_servable(x)
            return y


def test_graph_counts_must_agree(declared):
    @register.register_method(output_names="y")
    def one(x):
        y = register.call_servable(x)
        return y

    with raises("RegisterInputOutputInfo failed, inputs count 2 not match old count 1"):

        @register.register_method(output_names="y")
        def two(a, b):
            y = register.call_servable(a, b)
            return y


def test_function_counts_must_agree(declared):
    def anything(*values):
        return values

    @register.register_method(output_names="y")
    def one(x):
        x = register.call_preprocess(anything, x)
        y = register.call_servable(x)
        return y

    with raises("Preprocess 'matmul.anything' inputs count 2 not match last registered count 1"):

        @register.register_method(output_names="y")
        def two(a, b):
            x = register.call_preprocess(anything, a, b)
            y = register.call_servable(x)
            return y


def test_an_unknown_native_function(declared):
    @register.register_method(output_names="y")
    def fun(x):
        y = register.call_servable(x)
        y = register.call_postprocess("no_such_function", y)
        return y

    with raises(" postprocess no_such_function not defined"):
        declared.build(1)


def test_an_undeclared_servable_cannot_be_built(registry):
    with raises("Servable matmul is not declared", FailedPreconditionError):
        registry.build(1)


def test_model_format(registry):
    with raises("model format can only be OM or MindIR"):
        register.declare_servable("a.onnx", "ONNX")


def test_options(registry):
    with raises("Set acl option failed, unsupported option size"):
        register.AclOptions(size="1")
    with raises("Parameter 'options' should be None, dict of <str,str> or AclOptions"):
        register.declare_servable("a.mindir", "MindIR", options=1)
    options = register.AclOptions(output_type="FP16")
    register.declare_servable("a.mindir", "mindir", options=options)
    assert registry.declaration.options == {"acl_option.output_type": "FP16"}


@pytest.mark.parametrize("arguments", [("", "m"), ("s", ""), ("s", "m", -1), (1, "m")])
def test_pipeline_servable_checks_types(declared, arguments):
    with pytest.raises(InvalidArgumentError):
        register.PipelineServable(*arguments)


def test_timeouts_are_kept_and_hostile_ones_refused(declared):
    @register.register_method(output_names=["y"], timeout=2)
    def fun1(x):
        y = register.call_servable(x, subgraph=1)
        return y

    @register.register_pipeline(output_names=["y"], timeout=0.5)
    def predict(x):
        return x

    assert declared.methods["fun1"].timeout == 2
    assert declared.pipelines["predict"].timeout == 0.5
    for decorator in (register.register_method, register.register_pipeline):
        for timeout in (0, -1, float("nan"), float("inf")):
            with raises("Parameter 'timeout' should be in range [0.001,31622400] seconds"):
                decorator(output_names="y", timeout=timeout)
        with raises("Parameter 'timeout' should be int or float"):
            decorator(output_names="y", timeout=True)
