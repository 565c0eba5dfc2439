"""The API pages show every public name, and each says what it is."""

import importlib
import inspect
import pathlib
import re

import pytest

PAGES = pathlib.Path(__file__).resolve().parents[3] / "docs/api"
MODULES = [
    f"pipeserve_native{name}"
    for name in (
        "",
        ".client",
        ".export",
        ".launch.ray",
        ".model",
        ".server",
        ".server.distributed",
        ".server.master.context",
        ".server.register",
    )
]


def directives():
    """(name after ":::", the options below it) of every page."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES.glob("*.md"))
    return re.findall(r"^::: (\S+)\n((?:    .*\n)*)", text, re.MULTILINE)


def shown():
    """Dotted names that the pages show; of a module without a list of members, all of its own."""
    for target, options in directives():
        yield target
        members = re.findall(r"^        - (\w+)$", options, re.MULTILINE)
        if not members and target in MODULES:
            members = importlib.import_module(target).__all__
        yield from (f"{target}.{member}" for member in members)


def public_names():
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            if not inspect.ismodule(getattr(module, name)) and not name.startswith("__"):
                yield pytest.param(module, name, id=f"{module_name}.{name}")


@pytest.mark.parametrize(("module", "name"), list(public_names()))
def test_public_name_is_shown(module, name):
    found = getattr(module, name)
    owner = getattr(found, "__module__", module.__name__)
    wanted = {f"{module.__name__}.{name}", f"{owner}.{name}"}
    assert wanted & set(shown()), f"no page of docs/api shows {module.__name__}.{name}"


def test_what_is_shown_exists():
    for name in shown():
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize(("module", "name"), list(public_names()))
def test_public_function_names_its_arguments(module, name):
    found = getattr(module, name)
    if inspect.isfunction(found) and inspect.signature(found).parameters:
        parameters = inspect.signature(found).parameters
        text = inspect.getdoc(found)
        arguments = text.partition("\nArgs:\n")[2]
        for parameter in parameters:
            assert re.search(rf"^    {parameter}: ", arguments, re.MULTILINE), parameter
