"""What tools/run_page does with a page, and above all what it does not let pass."""

import pathlib
import sys

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[3] / "tools/run_page"


@pytest.fixture
def run(start, tmp_path):
    def run_page(text):
        page = tmp_path / "page.md"
        page.write_text(text)
        program = start(sys.executable, TOOL, page)
        return program.wait(), program.output

    return run_page


def block(language, text, before="Some words."):
    return f"{before}\n\n```{language}\n{text}\n```\n\n"


def test_commands_share_a_shell_with_files_and_python(run):
    page = (
        block("text", "kept", "Write `in/a.txt`:")
        + block("console", "$ cd in\n$ cat \\\n> a.txt\nkept\n$ word=x")
        + block("python", "import pathlib\ntext = pathlib.Path('a.txt').read_text()")
        + block("pycon", ">>> text\n'kept...'")
        + block("console", "$ echo $word\nx\n$ false\n$ echo $?\n1")
    )
    code, output = run(page)
    assert code == 0, output


def test_one_in_the_background_is_awaited_and_ended(run):
    page = block("console", "$ tail -f a.txt &\nkept\n$ kill %1; wait %1\n$ echo $?\n143")
    page = block("text", "kept", "Write `a.txt`:") + page
    code, output = run(page)
    assert code == 0, output


def test_one_that_is_left_in_the_background_is_ended(run):
    code, output = run(block("console", "$ sleep 1000 &"))
    assert code == 0, output


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (block("console", "$ echo a\nb"), "the page shows\nb\nbut the output is\na"),
        (block("console", "$ echo a\na\nb"), "the page shows"),
        (block("console", "$ false"), "the exit code is 1"),
        (block("console", "$ cat /does/not/exist &\nx", ""), "cat: /does/not/exist"),
        (block("console", "no command"), "should begin with"),
        (block("console", "$ true && sleep 1 &"), "simple command"),
        (block("python", "1 / 0"), "ZeroDivisionError"),
        (block("pycon", ">>> 1 + 1\n3"), "Expected:"),
        (block("cpp", "int main() {}"), "a block of 'cpp' should run"),
        (block("", "what is this"), "a block of '' should run"),
    ],
)
def test_what_does_not_work_is_an_error(run, page, message, monkeypatch):
    monkeypatch.setenv("PIPESERVE_PAGE_SECONDS", "1")
    code, output = run(page)
    assert code == 1
    assert message in output


def test_part_of_an_example_may_be_of_any_language(run):
    lines = "RANKS = 8\nROWS, WIDTH, HIDDEN = 16, 64, 256"  # Of examples/distributed.
    code, output = run(block("ini", lines))
    assert code == 0, output


def test_a_command_can_say_why_the_rest_is_skipped(run):
    code, output = run(block("console", "$ echo skipped: no compiler\nmade\n$ false"))
    assert code == 0
    assert "line 3: skipped: no compiler" in output
    code, output = run(block("console", "$ echo skipped: no compiler; false"))
    assert code == 1


def test_what_cannot_run_is_listed_with_its_reason(run):
    code, output = run(block("console", "$ reboot", "<!-- not run: it would\nend the test -->"))
    assert code == 0
    assert "line 4: not run: it would end the test" in output
