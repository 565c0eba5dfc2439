#!/usr/bin/env python3
"""Whether this commit can be released: `make release-check`.

Runs every check, also after one has failed, and prints a table of what passed and what to do about
the rest. Exit code 1 if a check failed. Builds what would be uploaded in dist/.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


class Failed(Exception):
    """A check that failed: what is wrong and what to do."""


def git(*arguments: str) -> str:
    """What a git command prints."""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def run(command: list[str], advice: str) -> None:
    """Runs a command in the open; a failure gives the advice."""
    print(f"\n$ {' '.join(command)}", flush=True)
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise Failed(advice)


def read_version() -> str:
    """The version of CMakeLists.txt, where alone it stands."""
    found = re.search(
        r"project\(pipeserve VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text("utf-8")
    )
    if found is None:
        raise Failed("CMakeLists.txt has no `project(pipeserve VERSION ...)`")
    return found[1]


def check_changelog() -> str:
    """The newest heading is of this version."""
    version = read_version()
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    newest = headings[0] if headings else "nothing"
    if newest.split()[0].strip("[]") != version:
        raise Failed(
            f"CMakeLists.txt says {version}, the newest heading of CHANGELOG.md {newest!r}: "
            f"name it '## {version}', or change the version"
        )
    return newest


def check_tag() -> str:
    """A tag of this commit is this version's; that of this version is on this commit."""
    wanted = f"v{read_version()}"
    here = git("tag", "--points-at", "HEAD").split()
    if wanted in here:
        return wanted
    if git("tag", "--list", wanted):
        raise Failed(f"{wanted} is the tag of another commit: raise the version in CMakeLists.txt")
    if others := [tag for tag in here if re.fullmatch(r"v\d.*", tag)]:
        raise Failed(f"this commit has the tag {others[0]}, its version is {wanted[1:]}")
    return f"none yet; when all passes: git tag -a {wanted}"


def check_tree() -> str:
    """What is built is what is committed."""
    if changed := git("status", "--porcelain"):
        raise Failed(f"not committed: {', '.join(line[3:] for line in changed.splitlines())}")
    return git("rev-parse", "--short", "HEAD")


def check_docs() -> str:
    """The site builds."""
    run(["make", "docs"], "mend what `make docs` says")
    return "built"


def check_builds() -> str:
    """The source distribution and the wheels build."""
    for target in ("sdist", "wheel"):
        run(["make", target], f"mend what `make {target}` says")
    return f"{len(list(DIST.glob('*.whl')))} wheel(s)"


def check_wheels() -> str:
    """The wheels work where nothing else is installed."""
    run(["make", "wheel-check"], "mend what `make wheel-check` says")
    return "installed and served"


def files_of(distribution: Path) -> list[str]:
    """The names in a wheel or a source distribution."""
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as wheel:
            return wheel.namelist()
    with tarfile.open(distribution) as source:
        return source.getnames()


def distributions() -> list[Path]:
    """What would be uploaded."""
    found = sorted([*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")])
    if {path.suffix for path in found} != {".whl", ".gz"}:
        names = ", ".join(path.name for path in found) or "nothing"
        raise Failed(f"dist/ should have a source distribution and wheels, but has {names}")
    return found


def check_contents() -> str:
    """Every file of dist/ is of this version and has the licence; wheels have their types."""
    version = read_version()
    if not (ROOT / "LICENSE").is_file():
        raise Failed("there is no LICENSE")
    for path in distributions():
        names = files_of(path)
        if f"-{version}-" not in path.name and not path.name.endswith(f"-{version}.tar.gz"):
            raise Failed(f"dist/{path.name} is not of version {version}: rm -r dist")
        if not any(Path(name).name == "LICENSE" for name in names):
            raise Failed(f"dist/{path.name} has no LICENSE: see license-files in pyproject.toml")
        if not any(name.endswith("pipeserve_native/py.typed") for name in names):
            raise Failed(f"dist/{path.name} has no py.typed")
    return "LICENSE and py.typed in each"


def check_metadata() -> str:
    """A package index would take the description."""
    files = [str(path) for path in distributions()]
    run([sys.executable, "-m", "twine", "check", "--strict", *files], "mend what twine says")
    return f"{len(files)} file(s)"


CHECKS: dict[str, Callable[[], str]] = {
    "version": read_version,
    "changelog": check_changelog,
    "tag": check_tag,
    "clean tree": check_tree,
    "docs": check_docs,
    "builds": check_builds,
    "wheels work": check_wheels,
    "contents": check_contents,
    "metadata": check_metadata,
}


def main() -> int:
    """Runs all checks and prints the table."""
    results: list[tuple[str, bool, str]] = []
    for name, check in CHECKS.items():
        try:
            results.append((name, True, check()))
        except Failed as failure:
            results.append((name, False, str(failure)))
    print()
    for name, passed, text in results:
        print(f"{name:12} {'passed' if passed else 'FAILED'}  {text}")
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
