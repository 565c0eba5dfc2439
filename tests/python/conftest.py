"""Real processes on free ports, awaited by what they print."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60

# A shell that starts the tests in the background has them ignore SIGINT, and every program that
# they start would, too. A handler, unlike "ignore", is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_dir():
    """The folder of model files that MindSpore itself wrote."""
    path = pathlib.Path(os.environ.get("PIPESERVE_SHARED_DIR", ROOT.parent / "shared"))
    if not (path / "mindir").is_dir():
        pytest.skip(f"there is no {path / 'mindir'}: set PIPESERVE_SHARED_DIR to the model files")
    return path


def first_ephemeral_port():
    """From here on the kernel hands out ports to whoever asks for any."""
    return int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


@pytest.fixture
def free_port():
    """A function that finds the first of `count` neighbouring ports nobody uses.

    They lie where no connection of another process gets its own port by chance.
    """

    def find(count=1):
        while True:
            first = random.randrange(10_000, first_ephemeral_port() - count)
            with contextlib.ExitStack() as stack:
                try:
                    for port in range(first, first + count):
                        stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                except OSError:
                    continue
                return first

    return find


class Program:
    """A process whose output is read while it runs, and the processes that it starts."""

    def __init__(self, arguments, cwd):
        self._mark = f"PIPESERVE_TEST_PROGRAM={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=cwd,
            env={**os.environ, name: value, "PYTHONFAULTHANDLER": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def agents(self):
        """The process of each rank that it runs now."""
        found = {}
        for entry in filter(str.isdecimal, os.listdir("/proc")):
            try:
                status = pathlib.Path("/proc", entry, "stat").read_text()
                command = pathlib.Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            except OSError:  # It has ended.
                continue
            parent = int(status.rpartition(")")[2].split()[1])
            if parent == self.process.pid and b"--rank" in command:
                found[int(command[command.index(b"--rank") + 1])] = int(entry)
        return found

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self):
        with self._changed:
            return "".join(self._lines)

    def say(self, line):
        """One line of its standard input."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_for(self, pattern):
        """The first match in the output; fails when the process ends without one."""
        end = time.monotonic() + DEADLINE_SECONDS
        with self._changed:
            while True:
                text = "".join(self._lines)
                if match := re.search(pattern, text):
                    return match
                left = end - time.monotonic()
                if self._ended or left <= 0:
                    pytest.fail(f"the process did not print {pattern!r}, but:\n{text}")
                self._changed.wait(left)

    def wait(self, timeout=DEADLINE_SECONDS):
        """Waits for the end; the exit code. Fails with every thread's stack if there is no end."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._signal_all(signal.SIGABRT)
            self._reader.join(DEADLINE_SECONDS)
            pytest.fail(f"the process did not end within {timeout} s; it printed:\n{self.output}")
        self._join_reader()
        return code

    def _join_reader(self):
        self._reader.join(DEADLINE_SECONDS)
        if self._reader.is_alive():
            left = self._signal_all(signal.SIGABRT)
            self._reader.join()
            pytest.fail(f"the process left others that ran on: {left}; output:\n{self.output}")

    def _signal_all(self, signum):
        """Signals the process and all that came from it; their command lines."""
        commands = []
        for entry in filter(str.isdecimal, os.listdir("/proc")):
            folder = pathlib.Path("/proc", entry)
            with contextlib.suppress(OSError):  # It has ended.
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    commands.append((folder / "cmdline").read_text().replace("\0", " "))
                    os.kill(int(entry), signum)
        return commands

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def end(self):
        self._signal_all(signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.process.stdin.close()


@pytest.fixture
def start(tmp_path):
    """Starts programs that end with the test."""
    programs = []

    def run(*arguments, cwd=tmp_path):
        programs.append(Program(arguments, cwd))
        return programs[-1]

    yield run
    for program in reversed(programs):
        program.end()


@functools.cache
def own_network():
    """What runs a command in a network of its own, so that the ports of the pages are free."""
    prefix = ["unshare", "--map-root-user", "--net"]
    allowed = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if allowed else []


@pytest.fixture
def run_page(start):
    """Starts what does as a page says."""

    def run(page, *options):
        tool = [sys.executable, ROOT / "tools/run_page", *(["--loopback"] if own_network() else [])]
        return start(*own_network(), *tool, *options, page)

    return run


@pytest.fixture
def start_script(start, tmp_path):
    """Starts a Python script, written next to the servables."""

    def run(name, source, *arguments):
        path = tmp_path / name
        path.write_text(source)
        return start(sys.executable, path, *arguments)

    return run
