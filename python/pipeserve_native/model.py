"""One model file, run in this process: no server, no pipeline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeserve_native import _checks, _core

if TYPE_CHECKING:  # Not at run time: numpy takes most of what an import of the package takes.
    import numpy as np

__all__ = ["Model", "TensorInfo"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a graph takes or gives: its name, dtype and shape.

    A dimension of -1 is known only when a call comes.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Model:
    """A loaded ``.mindir`` file. Thread-safe.

    >>> model = Model("matmul_0.mindir")
    >>> (y,) = model.run(x)

    Args:
        path: MindIR of MindSpore 1.3 or 2.x, of one rank.
        dec_key: Key of an encrypted file: 16, 24 or 32 bytes.
        dec_mode: "AES-GCM" or "AES-CBC".
        threads: Of one call; None is one for each core that this process may use.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: The file is damaged, or encrypted and the key does not fit; an
            argument of another type.
        UnimplementedError: An operator that is not supported.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dec_key: bytes | None = None,
        dec_mode: str = "AES-GCM",
        threads: int | None = None,
    ) -> None:
        key, mode = _checks.check_decryption(dec_key, dec_mode)
        _checks.check_threads(threads)
        self._model = _core.Model(os.fspath(path), key=key or b"", mode=mode, threads=threads)

    @property
    def inputs(self) -> list[TensorInfo]:
        """What ``run`` takes, in order."""
        return [TensorInfo(*info) for info in self._model.inputs]

    @property
    def outputs(self) -> list[TensorInfo]:
        """What ``run`` returns, in order."""
        return [TensorInfo(*info) for info in self._model.outputs]

    def run(self, *inputs: Any) -> tuple[Any, ...]:
        """Runs the graph on the calling thread.

        Args:
            inputs: As many as ``self.inputs``, with their dtypes and numbers of bytes.

        Returns:
            Always a tuple, one array per output.

        Raises:
            InvalidArgumentError: Another number of inputs, or inputs that do not fit.
        """
        return self._model.run(inputs)
