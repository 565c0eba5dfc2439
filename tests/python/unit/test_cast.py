import numpy as np
import pytest

from pipeserve_native import InvalidArgumentError, Model, UnimplementedError, export

TYPES = ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64"]


def cast(folder, x, dtype):
    graph = export.Graph("cast")
    graph.output(graph.cast(graph.input("x", x.shape, x.dtype), dtype))
    graph.save(folder / "cast.mindir")
    (y,) = Model(folder / "cast.mindir").run(x)
    return y


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_numbers_in_range_become_what_numpy_makes_of_them(tmp_path, source, target):
    x = np.array([[0, 1, 2], [100, 77.75, 126.5]]).astype(source)
    y = cast(tmp_path, x, target)
    assert y.dtype == target
    np.testing.assert_array_equal(y, x.astype(target))


def test_floats_round_to_the_nearest_half(tmp_path):
    x = np.random.default_rng(1).normal(scale=100, size=100_000).astype(np.float32)
    np.testing.assert_array_equal(cast(tmp_path, x, np.float16), x.astype(np.float16))


def test_what_is_out_of_range_becomes_the_nearest_integer(tmp_path):
    x = np.array([1e20, -1e20, np.inf, np.nan], np.float32)
    limits = np.iinfo(np.int32)
    assert cast(tmp_path, x, np.int32).tolist() == [limits.max, limits.min, limits.max, 0]


def test_types_that_cannot_be(tmp_path):
    graph = export.Graph("cast")
    x = graph.input("x", (2,), np.float32)
    with pytest.raises(InvalidArgumentError, match="Unknown data type <U0"):
        graph.cast(x, np.str_)
    graph.output(graph.cast(x, np.uint32))
    graph.save(tmp_path / "cast.mindir")
    with pytest.raises(UnimplementedError, match="no Cast to uint32"):
        Model(tmp_path / "cast.mindir")
