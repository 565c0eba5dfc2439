"""Builds graphs from numpy weights and writes them as model files, whole or sharded.

The files are MindIR as MindSpore 1.3 writes it.

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
    """A tensor of a graph under construction: what ``Graph``'s functions take and return."""

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
    """A graph under construction. Not thread-safe.

    Operators have the names and meanings of MindSpore's. They check their operands at once and
    raise InvalidArgumentError, with the operator's name, for shapes and dtypes that do not fit.
    Dtypes are float32, float16 and int32; what only moves elements, and ``cast``, take others, too.
    A name may be used once.

    Where there is a ``strategy``, ``save_sharded`` cuts the operator: it says, per operand, into
    how many pieces each of its dimensions is cut. The exchange between ranks that this needs is
    added. None cuts nothing.

    Args:
        name: Of the graph, and of its files.
    """

    def __init__(self, name: str) -> None:
        self.name = _checks.check_str("name", name)
        self._builder = _core.GraphBuilder(name)
        self._pipeline_stage = 0

    @property
    def pipeline_stage(self) -> int:
        """The stage of operators that are added from now on; at first 0.

        What ``pipeline_stage`` of a cell is in MindSpore. ``save_sharded`` with ``stages`` puts the
        operators of stage k on the k-th part of the ranks; an operator takes results of its own
        stage and of earlier ones.
        """
        return self._pipeline_stage

    @pipeline_stage.setter
    def pipeline_stage(self, stage: int) -> None:
        self._pipeline_stage = _checks.check_int("pipeline_stage", stage, 0)
        self._builder.set_stage(stage)

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
        """What a caller passes; a dimension of -1 is known only when a call comes.

        Args:
            name: Of the input.
            shape: Its dimensions, at most 8.
            dtype: Anything that ``numpy.dtype`` takes.

        Raises:
            InvalidArgumentError: A shape or dtype that no tensor has.
        """
        return self._value(self._builder.input(name, np.dtype(dtype), list(shape)))

    def parameter(self, name: str, weight: npt.ArrayLike) -> Value:
        """A weight, which is copied.

        Args:
            name: Of the weight.
            weight: An array, or what ``numpy.array`` makes one of.

        Raises:
            InvalidArgumentError: A dtype that no tensor has.
        """
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
        """The matrix product of two matrices, either of them transposed first if asked for."""
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
        """x + bias, a vector as long as the second dimension of x, along which it is added."""
        index = self._builder.bias_add(self._index(x), self._index(bias), _strategy(strategy))
        return self._value(index)

    def cast(self, x: Value, dtype: npt.DTypeLike, *, strategy: Strategy | None = None) -> Value:
        """The elements in another type of numbers, bool among them.

        Floating point gets the nearest number, ties to even. Integers lose the fraction; what is
        out of their range becomes the nearest that is in it, and what is no number 0. Integers in a
        narrower type lose their upper bits. bool is whether the element is other than 0.
        """
        index = self._builder.cast(self._index(x), np.dtype(dtype), _strategy(strategy))
        return self._value(index)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The same elements in another shape; one dimension may be -1, which is what is left."""
        return self._value(self._builder.reshape(self._index(x), list(shape)))

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """The dimensions in another order: dimension i is x's dimension ``perm[i]``."""
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
        """Adds results, in order. A graph has at least one."""
        for value in values:
            self._builder.output(self._index(value))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the whole graph; missing directories are made.

        Raises:
            InvalidArgumentError: It has no output.
            UnavailableError: The file cannot be written.
        """
        path = os.fspath(path)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self._builder.save(path)


def save_sharded(
    graphs: Sequence[Graph],
    directory: str | os.PathLike[str],
    *,
    ranks: int,
    stages: int = 1,
    all_stages_take_inputs: bool = False,
) -> None:
    """Writes ``directory/device<r>/<graph>.mindir`` and ``group_config.pb`` for every rank.

    Args:
        graphs: The graphs of one servable, cut as their ``pipeline_stage`` and strategies say.
        directory: Missing ones are made.
        ranks: 1 to 4096, of all stages. The pieces of each strategy must be able to share out
            those of a stage.
        stages: Stages, of as many ranks each: the ``stage_size`` of ``declare_servable``. Each
            graph has operators in every one. What a stage needs of an earlier one, each of its
            ranks gets from the rank in the same place there; its shape must be known.
        all_stages_take_inputs: Whether every stage gets the inputs of a call. Else the first does,
            and sends on what others need of them.

    Raises:
        InvalidArgumentError: A graph has no output or cannot be cut that way.
        UnavailableError: A file cannot be written.
    """
    _checks.check_int("ranks", ranks, 1)
    _checks.check_int("stages", stages, 1)
    _checks.check_bool("all_stages_take_inputs", all_stages_take_inputs)
    os.makedirs(directory, exist_ok=True)
    for graph in graphs:
        graph._builder.save_sharded(os.fspath(directory), ranks, stages, all_stages_take_inputs)
