"""Serving of multi-graph models: pipelines in Python, everything else native.

``load`` loads a servable into this process, ``server`` starts servables and opens doors to them,
``server.register`` and ``server.distributed`` describe them in ``servable_config.py``, ``client``
calls them, ``export`` writes models.
"""

from pipeserve_native._attach import __version__
from pipeserve_native._embedding import LoadedFunction, LoadedServable, load
from pipeserve_native._errors import (
    AbortedError,
    AlreadyExistsError,
    CancelledError,
    DeadlineExceededError,
    Error,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from pipeserve_native.model import Model

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DeadlineExceededError",
    "Error",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "LoadedFunction",
    "LoadedServable",
    "Model",
    "NotFoundError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "__version__",
    "load",
]
