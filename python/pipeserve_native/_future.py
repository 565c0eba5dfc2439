"""What ``PipelineServable.submit`` returns."""

from __future__ import annotations

from typing import Any

from pipeserve_native import _checks, _core
from pipeserve_native._errors import Error


class CallFuture:
    """A method call on its way, with the methods of ``concurrent.futures.Future``.

    There are no callbacks: nothing runs in Python when a call is done. The call belongs to the
    request that submitted it: one that nobody has waited for when the pipeline function returns is
    taken back or, when it runs, awaited.
    """

    def __init__(self, future: _core.CallFuture) -> None:
        self._future = future

    def _wait(self, timeout: float | None) -> None:
        seconds = None if timeout is None else _checks.check_wait("timeout", timeout)
        if not self._future.wait(seconds):
            raise TimeoutError(f"the call is not done after {timeout} s")

    def result(self, timeout: float | None = None) -> Any:
        """Waits for what ``run`` would return, or raises what it would raise.

        Args:
            timeout: Seconds, 0 or more; None waits until the call is done, which is at the
                request's deadline at the latest.

        Raises:
            TimeoutError: It is not done by then.
            DeadlineExceededError: The request's deadline has passed.
            CancelledError: The request's client has left, or the call was taken back.
        """
        self._wait(timeout)
        return self._future.returned()

    def exception(self, timeout: float | None = None) -> Error | None:
        """Waits like ``result``.

        Returns:
            The error that ``result`` would raise, or None.

        Raises:
            TimeoutError: It is not done by then.
        """
        self._wait(timeout)
        try:
            self._future.returned()
        except Error as error:
            return error
        return None

    def done(self) -> bool:
        """It has a result or an error."""
        return self._future.done

    def running(self) -> bool:
        """It has begun and is not done."""
        return self._future.running

    def cancel(self) -> bool:
        """Takes the call back; False when it has begun."""
        return self._future.cancel()
