"""When an agent that has ended is started again."""

from __future__ import annotations

from collections import deque

_FIRST_DELAY = 0.1
_LAST_DELAY = 10.0
_STEADY_SECONDS = 1.0
"""One that has been ready for so long starts its delays anew."""
_WINDOW_SECONDS = 600.0


class Restarts:
    """The restarts of one agent: a delay that grows with each, and a limit of how many.

    Times are seconds of one clock, which the caller reads.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._times: deque[float] = deque()
        self._delay = _FIRST_DELAY

    def next(self, now: float, ready_since: float | None) -> float | None:
        """When to start the agent that has just ended; None: not any more.

        ``ready_since`` is when it became ready, None when it never did.
        """
        while self._times and self._times[0] <= now - _WINDOW_SECONDS:
            self._times.popleft()
        if self._limit is not None and len(self._times) >= self._limit:
            return None
        self._times.append(now)
        if ready_since is not None and now - ready_since >= _STEADY_SECONDS:
            self._delay = _FIRST_DELAY
        due = now + self._delay
        self._delay = min(self._delay * 2, _LAST_DELAY)
        return due

    def describe_limit(self) -> str:
        """What was exceeded."""
        return f"{self._limit} restarts within {_WINDOW_SECONDS / 60:.0f} minutes"
