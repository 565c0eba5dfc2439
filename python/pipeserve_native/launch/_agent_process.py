"""The program of one agent as the child of a process that starts and watches this agent alone."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Sequence

from pipeserve_native import _programs
from pipeserve_native._errors import FailedPreconditionError

_TERMINATE_SECONDS = 10.0


class AgentProcess:
    """Runs ``pipeserve-agent``; returns once it is ready. It ends with this process at the latest.

    Raises:
        FailedPreconditionError: It did not start; the text has its reason.
    """

    def __init__(self, rank: int, arguments: Sequence[str]) -> None:
        # The agent ends when the pipe's other end, which only this process has, is closed.
        launcher_read, self._launcher_write = os.pipe()
        status_read, status_write = os.pipe()
        command = [_programs.path_of("pipeserve-agent"), "--rank", str(rank), *arguments]
        command += ["--launcher-fd", str(launcher_read), "--status-fd", str(status_write)]
        try:
            self._process = subprocess.Popen(
                command, pass_fds=[launcher_read, status_write], stdin=subprocess.DEVNULL
            )
        finally:
            os.close(launcher_read)
            os.close(status_write)
        with open(status_read, "rb") as stream:
            line = stream.readline()
        status = json.loads(line) if line else {"error": "it died"}
        if status.get("state") != "ready":
            self.wait()
            raise FailedPreconditionError(
                f"Fail to start the agent of rank {rank}: {status.get('error')}"
            )

    def wait(self) -> int:
        """Waits for its end; the exit code."""
        return self._process.wait()

    def end(self) -> None:
        """SIGTERM, then SIGKILL; returns when it is gone."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_TERMINATE_SECONDS)
        self._process.kill()
        self._process.wait()
