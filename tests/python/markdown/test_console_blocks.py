"""What a page's console blocks may say, and what is noticed."""

import contextlib
import os
import select

import console_blocks
import pytest


@pytest.fixture
def run_page(tmp_path):
    """Runs the blocks of a page; what each command printed."""

    def run(text):
        page = tmp_path / "page.md"
        page.write_text(text)
        commands = console_blocks.commands(page)
        with console_blocks.Shell(tmp_path) as shell:
            return [shell.run(command) for command in commands]

    return run


def block(text):
    return f"Some words.\n\n```console\n{text}\n```\n"


def test_commands_stand_in_console_blocks_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(block("$ one\n$ two \\\n> 2\nshown\n\nmore") + "```text\n$ other\n```\n")
    one, two = console_blocks.commands(page)
    assert (one.text, one.shown, one.place) == ("one", "", f"{page}:4")
    assert (two.text, two.shown, two.place) == ("two \\\n2", "shown\n\nmore", f"{page}:5")


def test_a_block_that_begins_with_output_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(block("shown"))
    with pytest.raises(console_blocks.ConsoleError, match=r"page.md:4: .* begin with a command"):
        console_blocks.commands(page)


def test_blocks_share_a_shell(run_page):
    text = block("$ mkdir inner && cd inner\n$ export WORD='a b'")
    assert (
        run_page(text + block('$ echo "$WORD"; basename "$PWD"\na b\ninner'))[2] == "a b\ninner\n"
    )


def test_dots_stand_for_any_text(run_page):
    run_page(block("$ echo took 3 ms; echo a; echo b\ntook ... ms\n...b"))


@pytest.mark.parametrize(
    "shown", ["goodbye", "hello\nhello", "hell", "hello world", "hello ... world"]
)
def test_other_output_is_an_error(run_page, shown):
    with pytest.raises(console_blocks.ConsoleError, match=r"page.md:4: `echo hello` should print"):
        run_page(block(f"$ echo hello\n{shown}"))


def test_a_failing_command_is_an_error(run_page):
    with pytest.raises(console_blocks.ConsoleError, match=r"exit code 3 and printed\nwhy") as error:
        run_page(block("$ echo server log &\nserver log\n$ echo why >&2; (exit 3)"))
    assert "server log" in str(error.value)


def test_a_command_can_say_why_its_page_is_skipped(run_page):
    with pytest.raises(console_blocks.Skipped, match=r"page.md:4: no compiler"):
        run_page(block("$ echo skipped: no compiler\nshown"))


def test_a_command_that_fails_is_not_skipped(run_page):
    with pytest.raises(console_blocks.ConsoleError, match="exit code 1"):
        run_page(block("$ echo skipped: no compiler; false"))


def test_a_command_that_ends_the_shell_is_an_error(run_page):
    with pytest.raises(console_blocks.ConsoleError, match="`exit 1` ended the shell"):
        run_page(block("$ exit 1"))


def test_a_command_waits_for_what_the_one_in_the_background_shows(run_page):
    server = "(cat gate; echo ready to serve; exec sleep 600) 2>&1 &"
    run_page(
        block(f"$ mkfifo gate\n$ (sleep 0.2; echo open >gate) &\n$ {server}\nready ...\n$ kill %2")
    )


def test_what_the_background_does_not_show_is_an_error(run_page):
    with pytest.raises(console_blocks.ConsoleError, match="did not print\nready\nbut\nnot ready"):
        run_page(block("$ echo not ready &\nready"))


def test_nothing_outlives_the_shell(run_page, tmp_path):
    (pid,) = run_page(block("$ sleep 600 &\n$ echo $!"))[1].split()
    with contextlib.suppress(ProcessLookupError):  # Its files are closed a moment before it goes.
        assert select.select([os.pidfd_open(int(pid))], [], [], 10)[0]


def test_a_background_command_that_does_not_stop_is_an_error(run_page, monkeypatch):
    monkeypatch.setattr(console_blocks, "STOP_SECONDS", 0.3)
    stubborn = "bash -c 'trap : TERM; echo trapped; while :; do sleep 600 & wait; done' &"
    with pytest.raises(console_blocks.ConsoleError, match="did not end within"):
        run_page(block(f"$ {stubborn}\ntrapped"))
