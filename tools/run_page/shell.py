"""A shell in which one command runs after another, as in a reader's terminal."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import select
import shlex
import subprocess
import threading

# For one command, or for what one in the background should print.
_SECONDS = float(os.environ.get("PIPESERVE_PAGE_SECONDS", "120"))
_JOINERS = {";", "|", "||", "&", "&&"}


class CommandError(Exception):
    """A command did not do what the page says."""


class Skipped(Exception):
    """A command said why the rest of its page cannot run here."""


@dataclasses.dataclass
class Command:
    """One command of a console block, and the output that the page shows."""

    text: str
    output: str


def parse(text: str) -> list[Command]:
    """Lines after ``$`` are commands, those after ``>`` continue them; others are output."""
    commands: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], ""))
        elif not commands:
            raise CommandError(f"a console block should begin with '$ ', but is: {line}")
        elif line.startswith("> ") and not commands[-1].output:
            commands[-1].text += "\n" + line[2:]
        else:
            commands[-1].output += line.rstrip() + "\n"
    for command in commands:  # A comment is for the reader.
        command.text = re.sub(r"\s+# .*$", "", command.text)
    return commands


def shown(expected: str) -> re.Pattern[str]:
    """What matches the output that a page shows; ``...`` stands for anything."""
    parts = (re.escape(part) for part in expected.rstrip("\n").split("..."))
    return re.compile(".*?".join(parts) + r"(?:\n|\Z)\s*", re.DOTALL)


class _Job:
    """A command in the background: what it prints, read while it runs from a pipe with a name."""

    def __init__(self, pipe: pathlib.Path) -> None:
        os.mkfifo(pipe)
        self.pipe = pipe
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self.pipe.open(encoding="utf-8", errors="replace") as stream:
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

    def prints(self, pattern: re.Pattern[str], seconds: float) -> bool:
        """Waits until it has printed what matches; False if it ends or time is up before that."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or pattern.search(self._text), seconds)
            return pattern.search(self._text) is not None


class Shell:
    """A bash that lives as long as the page. Its files are in ``folder``."""

    def __init__(self, cwd: pathlib.Path, folder: pathlib.Path) -> None:
        self.cwd = cwd
        self._folder = folder
        self._count = 0
        self._status = 0
        self._jobs: list[_Job] = []
        self._read, write = os.pipe()
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=cwd,
            stdin=subprocess.PIPE,
            pass_fds=[write],
            text=True,
        )
        self._write_fd = write
        self._send("set -m")

    def _send(self, line: str) -> None:
        assert self._bash.stdin is not None  # It is a pipe.
        self._bash.stdin.write(line + "\n")
        self._bash.stdin.flush()

    def run(self, command: Command) -> None:
        """Runs a command; raises CommandError when its output is not the one that is shown."""
        if command.text.endswith("&"):
            self._start(command)
        else:
            self._finish(command)

    def check_status(self) -> None:
        """Raises CommandError if the last command failed."""
        if self._status:
            raise CommandError(f"the exit code is {self._status}")

    def _script(self, text: str) -> tuple[pathlib.Path, pathlib.Path]:
        self._count += 1
        script = self._folder / f"{self._count}.sh"
        script.write_text(f"(exit {self._status})\n{text}\n", encoding="utf-8")
        return script, self._folder / f"{self._count}.log"

    def _source(self, script: pathlib.Path, log: pathlib.Path) -> None:
        self._send(f". {script} </dev/null >{log} 2>&1; echo $? $PWD >&{self._write_fd}")
        if not select.select([self._read], [], [], _SECONDS)[0]:
            raise CommandError(f"not done within {_SECONDS} s; output:\n{log.read_text()}")
        status, cwd = os.read(self._read, 1 << 16).decode().rstrip("\n").split(" ", 1)
        self._status, self.cwd = int(status), pathlib.Path(cwd)

    def _finish(self, command: Command) -> None:
        script, log = self._script(command.text)
        self._source(script, log)
        output = re.sub(r"[ \t]+$", "", log.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if self._status == 0 and (skipped := re.match("skipped: (.+)", output)):
            raise Skipped(skipped[1])
        if command.output and not shown(command.output).fullmatch(output):
            raise CommandError(f"the page shows\n{command.output}but the output is\n{output}")
        if self._status and not command.output:
            print(output, flush=True)

    def _start(self, command: Command) -> None:
        simple = command.text[:-1]
        if _JOINERS & set(shlex.shlex(simple, posix=True, punctuation_chars=";|&")):
            raise CommandError("what runs in the background should be a simple command")
        job = _Job(self._folder / f"{self._count + 1}.job")
        self._jobs.append(job)
        script, log = self._script(f"{simple} >{job.pipe} 2>&1 &")
        self._source(script, log)
        lines = re.compile(rf"^{shown(command.output).pattern}", re.DOTALL | re.MULTILINE)
        if not job.prints(lines, _SECONDS):
            raise CommandError(
                f"the page shows\n{command.output}but the output within {_SECONDS} s is\n{job.text}"
            )

    def jobs(self) -> str:
        """What the background jobs printed so far."""
        return "".join(f"--- job {job.pipe.stem}\n{job.text}" for job in self._jobs)

    def close(self) -> None:
        """Ends the jobs, and the shell when they have ended."""
        self._send("kill $(jobs -p) 2>/dev/null; wait; exit")
        self._bash.wait(_SECONDS)
