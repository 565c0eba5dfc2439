"""Runs the console blocks of a Markdown page in one shell and compares what they print.

In a block ```` ```console ```` a line that begins with "$ " is a command, and lines that begin with
"> " continue it. What follows, up to the next command, is what the page says that it prints, with
"..." for any text; a command with nothing below it may print anything. All blocks of a page are
one shell, so that `cd` and `export` last.

A command that ends in "&" runs in the background: the shell goes on once it has printed what is
shown below it. It ends with the shell at the latest.

A command that prints a line "skipped: reason" first says that this page cannot be run here.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

COMMAND_SECONDS = 120
STOP_SECONDS = 30

_BLOCK = re.compile(r"^```console[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


class ConsoleError(AssertionError):
    """A page says something else than what happens."""


class Skipped(Exception):
    """A command said why its page cannot be run here."""


@dataclass(frozen=True)
class Command:
    """A command of a page, and what the page shows below it."""

    text: str
    shown: str
    place: str

    @property
    def in_background(self) -> bool:
        """The shell does not wait for its end."""
        return self.text.endswith("&") and not self.text.endswith("&&")


def commands(page: pathlib.Path) -> list[Command]:
    """The commands of all console blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        first_line = text.count("\n", 0, block.start(1)) + 1
        found += _commands_of_block(block[1], page, first_line)
    return found


def _commands_of_block(block: str, page: pathlib.Path, first_line: int) -> list[Command]:
    parts: list[tuple[int, list[str], list[str]]] = []
    for number, line in enumerate(block.splitlines(), first_line):
        if line.startswith("$ "):
            parts.append((number, [line[2:]], []))
        elif not parts:
            raise ConsoleError(f"{page}:{number}: a console block should begin with a command")
        elif line.startswith("> ") and not parts[-1][2]:
            parts[-1][1].append(line[2:])
        else:
            parts[-1][2].append(line)
    return [
        Command("\n".join(text), "\n".join(shown).strip(), f"{page}:{number}")
        for number, text, shown in parts
    ]


def _pattern(shown: str) -> str:
    lines = "\n".join(line.rstrip() for line in shown.splitlines())
    return ".*".join(re.escape(part) for part in lines.split("..."))


def _tidy(printed: str) -> str:
    return "\n".join(line.rstrip() for line in printed.splitlines()).strip()


class _Background:
    """What a command in the background prints, read while it runs."""

    def __init__(self, command: Command, pipe: str) -> None:
        self.command = command
        self._pipe = pipe
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with open(self._pipe, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with self._changed:
                    self._text += line
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """What it has printed so far."""
        with self._changed:
            return self._text

    def wait_for_shown(self, seconds: float) -> bool:
        """Waits until it has printed what its page shows; False if it does not."""
        pattern = re.compile(f"^{_pattern(self.command.shown)}$", re.DOTALL | re.MULTILINE)
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or pattern.search(_tidy(self._text)) is not None, seconds
            )
            return pattern.search(_tidy(self._text)) is not None

    def wait_for_end(self, seconds: float) -> bool:
        """Waits until it and all that it started have ended."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, seconds)


@functools.cache
def _network() -> list[str]:
    """A prefix that gives a command a loopback network of its own, where the kernel lets us.

    Pages name fixed ports, which another program on this machine may have.
    """
    prefix = ["unshare", "--user", "--map-root-user", "--net"]
    with contextlib.suppress(FileNotFoundError):
        up = [*prefix, "ip", "link", "set", "lo", "up"]
        if subprocess.run(up, capture_output=True, check=False).returncode == 0:
            return [*prefix, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    return []


class Shell:
    """A bash that runs commands of pages in `folder`, with this Python's programs first."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._backgrounds: list[_Background] = []
        self._temporary = tempfile.TemporaryDirectory(prefix="console-")
        self._codes, codes_write = os.pipe()
        self._codes_write = codes_write  # In bash: its number there is the same.
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        self._bash = subprocess.Popen(
            [*_network(), "bash", "--norc", "--noprofile"],
            cwd=folder,
            # Python prints at once, as to a terminal.
            env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            pass_fds=[codes_write],
            start_new_session=True,
            text=True,
        )
        os.close(codes_write)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._close(failing=kind is not None)

    def run(self, command: Command) -> str:
        """Runs a command and returns what it printed; that must be what its page shows."""
        if command.in_background:
            return self._run_in_background(command)
        output = os.path.join(self._temporary.name, "output")
        code = self._evaluate(command, output)
        with open(output, encoding="utf-8", errors="replace") as file:
            printed = file.read()
        if code == 0 and (reason := re.match("skipped: (.*)", printed)):
            raise Skipped(f"{command.place}: {reason[1]}")
        if code != 0:
            raise self._error(command, f"ended with exit code {code} and printed", printed)
        if command.shown and not re.fullmatch(_pattern(command.shown), _tidy(printed), re.DOTALL):
            raise self._error(command, f"should print\n{command.shown}\nbut printed", printed)
        return printed

    def _run_in_background(self, command: Command) -> str:
        pipe = os.path.join(self._temporary.name, f"pipe{len(self._backgrounds)}")
        os.mkfifo(pipe)
        background = _Background(command, pipe)
        self._backgrounds.append(background)
        self._evaluate(command, pipe)
        if not background.wait_for_shown(COMMAND_SECONDS):
            raise self._error(command, f"did not print\n{command.shown}\nbut", background.text)
        return background.text

    def _evaluate(self, command: Command, output: str) -> int:
        """Has bash run a command; its exit code."""
        assert self._bash.stdin is not None
        code = self._codes_write
        # The command must not hold the pipe of the codes: its end says that bash has ended.
        line = f"eval {shlex.quote(command.text)} </dev/null >{output} 2>&1 {code}>&-"
        self._bash.stdin.write(f"{line}\necho $? >&{code}\n")
        self._bash.stdin.flush()
        text, end = b"", time.monotonic() + COMMAND_SECONDS
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([self._codes], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise self._error(command, f"did not end within {COMMAND_SECONDS} s", "")
            piece = os.read(self._codes, 64)
            if not piece:
                raise self._error(command, "ended the shell", "")
            text += piece
        return int(text)

    def _error(self, command: Command, what: str, printed: str) -> ConsoleError:
        parts = [f"{command.place}: `{command.text}` {what}\n{printed}"]
        parts += [
            f"`{background.command.text}` has printed\n{background.text}"
            for background in self._backgrounds
            if background.command is not command
        ]
        return ConsoleError("\n\n".join(parts))

    def _signal_all(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signum)

    def _close(self, *, failing: bool) -> None:
        """Ends bash and all commands in the background; complains of one that does not end."""
        self._signal_all(signal.SIGTERM)
        left = [b for b in self._backgrounds if not b.wait_for_end(STOP_SECONDS)]
        self._signal_all(signal.SIGKILL)
        assert self._bash.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._bash.stdin.close()
        self._bash.wait()
        os.close(self._codes)
        self._temporary.cleanup()
        if left and not failing:
            raise self._error(left[0].command, f"did not end within {STOP_SECONDS} s", left[0].text)
