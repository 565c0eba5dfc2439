"""Limits of the server."""

from pipeserve_native.server._state import STATE

__all__ = ["set_max_enqueued_requests"]


def set_max_enqueued_requests(max_enqueued_requests: int) -> None:
    """How many requests of clients may be in the server; one more is refused. At once, and later.

    Args:
        max_enqueued_requests: 1 and up; 10 000 until it is called, as in MindSpore Serving.

    Raises:
        InvalidArgumentError: Another type, or below 1.
    """
    STATE.set_max_enqueued_requests(max_enqueued_requests)
