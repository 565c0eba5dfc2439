"""Builds graphs from numpy weights and writes them as model files, whole or sharded.

>>> g = Graph("matmul_0")
>>> x = g.input("x", (128, 96), np.float32)
>>> w = g.parameter("w", np.full((96, 16), 0.5, np.float32))
>>> g.output(g.neg(g.matmul(x, w, strategy=((1, 8), (8, 1)))))
>>> g.save("model/matmul_0.mindir")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeserve_native import _checks, _core
from pipeserve_native._errors import InvalidArgumentError

__all__ = ["Graph", "Strategy", "Value", "save_sharded"]

Strategy = Sequence[Sequence[int]]
"""Per operand, into how many pieces each of its dimensions is cut."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of a graph under construction."""

    graph: Graph
    index: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its element type."""
        return self.graph._builder.info(self.index)[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions; -1 where one is known only when a call comes."""
        return self.graph._builder.info(self.index)[1]


def _strategy(strategy: Strategy | None) -> list[list[int]]:
    return [list(dims) for dims in strategy or ()]


class Graph:
    """A graph under construction. Operators check their operands at once. Not thread-safe."""

    def __init__(self, name: str) -> None:
        self.name = _checks.check_str("name", name)
        self._builder = _core.GraphBuilder(name)

    def _value(self, index: int) -> Value:
        return Value(self, index)

    def _index(self, value: Value) -> int:
        if not isinstance(value, Value):
            raise InvalidArgumentError(
                f"graph {self.name}: an operand should be a Value, but actually {type(value)}"
            )
        if value.graph is not self:
            raise InvalidArgumentError(
                f"graph {self.name}: an operand belongs to graph {value.graph.name}"
            )
        return value.index

    def input(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike) -> Value:
        """What a caller passes; a dimension of -1 is known only when a call comes."""
        return self._value(self._builder.input(name, np.dtype(dtype), list(shape)))

    def parameter(self, name: str, weight: npt.ArrayLike) -> Value:
        """A weight."""
        return self._value(self._builder.parameter(name, np.array(weight, order="C")))

    def matmul(
        self,
        a: Value,
        b: Value,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
        strategy: Strategy | None = None,
    ) -> Value:
        """The matrix product."""
        index = self._builder.matmul(
            self._index(a), self._index(b), transpose_a, transpose_b, _strategy(strategy)
        )
        return self._value(index)

    def neg(self, x: Value, *, strategy: Strategy | None = None) -> Value:
        """-x."""
        return self._value(self._builder.neg(self._index(x), _strategy(strategy)))

    def relu(self, x: Value, *, strategy: Strategy | None = None) -> Value:
        """max(x, 0)."""
        return self._value(self._builder.relu(self._index(x), _strategy(strategy)))

    def add(self, a: Value, b: Value, *, strategy: Strategy | None = None) -> Value:
        """a + b, with broadcasting."""
        index = self._builder.add(self._index(a), self._index(b), _strategy(strategy))
        return self._value(index)

    def sub(self, a: Value, b: Value, *, strategy: Strategy | None = None) -> Value:
        """a - b, with broadcasting."""
        index = self._builder.sub(self._index(a), self._index(b), _strategy(strategy))
        return self._value(index)

    def mul(self, a: Value, b: Value, *, strategy: Strategy | None = None) -> Value:
        """a * b, element by element, with broadcasting."""
        index = self._builder.mul(self._index(a), self._index(b), _strategy(strategy))
        return self._value(index)

    def bias_add(self, x: Value, bias: Value, *, strategy: Strategy | None = None) -> Value:
        """x + bias along the second dimension."""
        index = self._builder.bias_add(self._index(x), self._index(bias), _strategy(strategy))
        return self._value(index)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The same elements in another shape."""
        return self._value(self._builder.reshape(self._index(x), list(shape)))

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """The dimensions in another order."""
        return self._value(self._builder.transpose(self._index(x), list(perm)))

    def concat(self, parts: Sequence[Value], axis: int = 0) -> Value:
        """The parts one after another along a dimension."""
        return self._value(self._builder.concat([self._index(x) for x in parts], axis))

    def split(self, x: Value, axis: int, count: int) -> list[Value]:
        """Equal parts along a dimension."""
        return [self._value(i) for i in self._builder.split(self._index(x), axis, count)]

    def strided_slice(
        self,
        x: Value,
        begin: Sequence[int],
        end: Sequence[int],
        strides: Sequence[int],
        *,
        begin_mask: int = 0,
        end_mask: int = 0,
        ellipsis_mask: int = 0,
        new_axis_mask: int = 0,
        shrink_axis_mask: int = 0,
    ) -> Value:
        """x[begin:end:strides], with MindSpore's bit masks."""
        masks = [begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask]
        index = self._builder.strided_slice(
            self._index(x), list(begin), list(end), list(strides), masks
        )
        return self._value(index)

    def output(self, *values: Value) -> None:
        """Adds results, in order."""
        for value in values:
            self._builder.output(self._index(value))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the whole graph; missing directories are made."""
        path = os.fspath(path)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self._builder.save(path)


def save_sharded(graphs: Sequence[Graph], directory: str | os.PathLike[str], *, ranks: int) -> None:
    """Writes ``directory/device<r>/<graph>.mindir`` and ``group_config.pb`` for every rank."""
    _checks.check_int("ranks", ranks, 1)
    os.makedirs(directory, exist_ok=True)
    for graph in graphs:
        graph._builder.save_sharded(os.fspath(directory), ranks)
