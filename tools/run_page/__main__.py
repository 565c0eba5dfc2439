"""Does what a Markdown page tells its reader, in an empty folder.

    python tools/run_page docs/tutorial.md
    unshare --map-root-user --net python tools/run_page --loopback docs/tutorial.md

The second form has ports of its own. ``console`` blocks run in one bash: a command's exit code must
be 0 unless ``echo $?`` comes next, its output what is shown (``...`` is anything), and one in the
background has begun when it has printed what is shown. ``python`` and ``pycon`` blocks share one
Python. A block after a line that ends with a file name in backquotes and a colon is written to that
file, or after "Add to" and a name at its end. Other languages are not run: such a block is part of
an example, word for word. What cannot run here says so in a comment before it,
``<!-- not run: why -->``, and is listed. A command that prints "skipped: why" first ends the page.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pathlib
import shutil
import socket
import struct
import sys
import tempfile

import blocks
import shell
from python_session import PythonError, PythonSession


class _Page:
    def __init__(self, cwd: pathlib.Path, folder: pathlib.Path) -> None:
        self._shell = shell.Shell(cwd, folder)
        self._python = PythonSession()

    def run(self, block: blocks.Block) -> None:
        if block.file is not None:
            path = self._shell.cwd / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if block.adds else "w", encoding="utf-8") as file:
                file.write(block.text)
        elif block.reason is not None:
            print(f"line {block.line}: not run: {block.reason}", flush=True)
        elif block.language == "console":
            self._run_commands(shell.parse(block.text))
        elif block.language in blocks.RUN:
            self._python.run(block, self._shell.cwd)

    def _run_commands(self, commands: list[shell.Command]) -> None:
        for i, command in enumerate(commands):
            print(f"$ {command.text}", flush=True)
            self._shell.run(command)
            if not (i + 1 < len(commands) and commands[i + 1].text == "echo $?"):
                self._shell.check_status()

    def jobs(self) -> str:
        return self._shell.jobs()

    def close(self) -> None:
        self._python.close()
        self._shell.close()


def _run(path: pathlib.Path, cwd: pathlib.Path, folder: pathlib.Path) -> int:
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    page = _Page(cwd, folder)
    line = 0
    try:
        for block in blocks.read(path.read_text(encoding="utf-8")):
            line = block.line
            page.run(block)
    except shell.Skipped as reason:
        print(f"line {line}: skipped: {reason}", flush=True)
    except (blocks.PageError, shell.CommandError, PythonError) as error:
        print(f"{path}:{line}: {error}\n{page.jobs()}", flush=True)
        return 1
    finally:
        page.close()
    return 0


def _bring_up_loopback() -> None:
    get_flags, set_flags, up = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP.
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, get_flags, request))
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", flags | up))


def main() -> int:
    """Runs the page that is named; 0 when all of it works."""
    parser = argparse.ArgumentParser(prog="run_page")
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, help="begin in a copy of it")
    parser.add_argument("--loopback", action="store_true", help="in a new network namespace")
    args = parser.parse_args()
    if args.loopback:
        _bring_up_loopback()
    with tempfile.TemporaryDirectory(prefix="pipeserve-page-") as folder:
        cwd = pathlib.Path(folder, "page")
        logs = pathlib.Path(folder, "logs")
        if args.folder is None:
            cwd.mkdir()
        else:
            shutil.copytree(args.folder, cwd)
        logs.mkdir()
        return _run(args.page.resolve(), cwd, logs)


if __name__ == "__main__":
    sys.exit(main())
