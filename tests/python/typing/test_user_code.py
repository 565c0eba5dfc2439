"""Code of a user against the types of the installed package."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

USER = pathlib.Path(__file__).parent / "user"

MYPY = ["-m", "mypy", "--strict", "--no-color-output", "--config-file=", "."]
PYRIGHT = ["-m", "pyright", "--pythonpath", sys.executable, "."]
CHECKERS = pytest.mark.parametrize("checker", [MYPY, PYRIGHT], ids=["mypy", "pyright"])


@pytest.fixture
def check(tmp_path):
    """A function that has a checker look at some of the files, away from the sources."""

    def run(checker, *files):
        for file in files:
            shutil.copy(USER / file, tmp_path)
        (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
        return subprocess.run(
            [sys.executable, *checker], cwd=tmp_path, capture_output=True, text=True
        )

    return run


@CHECKERS
def test_strict_code_of_a_user_passes(check, checker):
    done = check(checker, "servable_config.py", "programs.py")
    assert done.returncode == 0, done.stdout + done.stderr


@CHECKERS
def test_mistakes_are_found(check, checker):
    done = check(checker, "mistakes.py")
    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+):.*error", done.stdout)}
    lines = (USER / "mistakes.py").read_text().splitlines()
    assert found == {i for i, line in enumerate(lines, 1) if line.endswith("# wrong")}, (
        done.stdout + done.stderr
    )
