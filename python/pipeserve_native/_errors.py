"""One exception class per status code; every one of them is a ``RuntimeError``."""

from __future__ import annotations

import logging
from typing import ClassVar

_logger = logging.getLogger("pipeserve_native")


class Error(RuntimeError):
    """Anything that pipeserve_native reports; ``code`` is gRPC's number for it."""

    code: ClassVar[int] = 2


class CancelledError(Error):
    """The work was given up: its client has left, or the server stops."""

    code = 1


class InvalidArgumentError(Error, ValueError):
    """A value that can never work."""

    code = 3


class DeadlineExceededError(Error, TimeoutError):
    """The time was up."""

    code = 4


class NotFoundError(Error):
    """There is no such servable, version, method or file."""

    code = 5


class AlreadyExistsError(Error):
    """It is already there, or already runs."""

    code = 6


class ResourceExhaustedError(Error):
    """A limit is reached; trying later may help."""

    code = 8


class FailedPreconditionError(Error):
    """Not possible in the present state."""

    code = 9


class AbortedError(Error):
    """A peer failed in the middle."""

    code = 10


class UnimplementedError(Error, NotImplementedError):
    """Not supported."""

    code = 12


class InternalError(Error):
    """A function of the servable raised, or the core failed."""

    code = 13


class UnavailableError(Error):
    """The other side is not there; trying later may help."""

    code = 14


class UnauthenticatedError(Error):
    """The other side wants to know who asks, and was not told, or not the truth."""

    code = 16


_CLASSES: dict[int, type[Error]] = {
    cls.code: cls
    for cls in (
        CancelledError,
        InvalidArgumentError,
        DeadlineExceededError,
        NotFoundError,
        AlreadyExistsError,
        ResourceExhaustedError,
        FailedPreconditionError,
        AbortedError,
        UnimplementedError,
        InternalError,
        UnavailableError,
        UnauthenticatedError,
    )
}


def from_status(code: int, message: str) -> Error:
    """The exception for a status of the core."""
    return _CLASSES.get(code, Error)(message)


def describe_failure(function: str, exception: BaseException, log: bool) -> tuple[int, str]:
    """Code and text of what a user's function raised.

    ``log``: whether nobody will see the traceback unless it goes to the log.
    """
    if not isinstance(exception, Error):
        if log:
            _logger.error("%s failed", function, exc_info=exception)
        return InternalError.code, f"{type(exception).__name__}: {exception}"
    if log:
        traceback = exception if exception.__cause__ is not None else None
        _logger.warning("%s failed: %s", function, exception, exc_info=traceback)
    return exception.code, str(exception)
