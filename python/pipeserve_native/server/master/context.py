"""Limits of the server."""

from pipeserve_native.server._state import STATE

__all__ = ["set_max_enqueued_requests"]


def set_max_enqueued_requests(max_enqueued_requests: int) -> None:
    """How many requests of clients may be in the server; one more is refused."""
    STATE.set_max_enqueued_requests(max_enqueued_requests)
