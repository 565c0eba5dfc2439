"""A Python in which the blocks of a page run one after another, with the same names."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from blocks import Block

_DRIVER = """
import doctest, json, os, sys, traceback

names = {"__name__": "__main__"}
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # What blocks print is for people.
for line in sys.stdin:
    block = json.loads(line)
    os.chdir(block["cwd"])
    ok = True
    try:
        if block["language"] == "pycon":
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            test = doctest.DocTestParser().get_doctest(block["text"], names, "page", None, 0)
            test.globs = names
            runner = doctest.DocTestRunner(optionflags=flags)
            ok = runner.run(test, clear_globs=False).failed == 0
        else:
            exec(compile(block["text"], "page", "exec"), names)
    except Exception:
        traceback.print_exc()
        ok = False
    sys.stdout.flush()
    answers.write(json.dumps(ok) + chr(10))
    answers.flush()
os._exit(0)  # A server that a block has started would keep the process alive.
"""


class PythonError(Exception):
    """A block raised, or did not print what the page shows."""


class PythonSession:
    """The process in which ``python`` and ``pycon`` blocks run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, block: Block, cwd: pathlib.Path) -> None:
        """Runs a block in a folder."""
        assert self._process.stdin is not None and self._process.stdout is not None  # Pipes.
        message = {"language": block.language, "text": block.text, "cwd": str(cwd)}
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if answer != "true\n":
            raise PythonError("the Python block failed, see above")

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None  # A pipe.
        self._process.stdin.close()
        self._process.wait()
