"""A small Debian of its own, in which nothing of this machine is seen but what it is given.

Made with debootstrap and kept; a command runs in it with a mount, process and network namespace of
its own, so that it leaves nothing behind and reaches nobody.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

MIRROR = "http://deb.debian.org/debian"
PACKAGES = ("python3", "python3-venv")
TOOLS = ("debootstrap", "unshare", "ip", "chroot")

# Debian's installer writes it, and so does whatever starts a container; debootstrap does not.
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"

# What runs in the root: no variable of the caller gets in.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8"}


class NoCleanRoot(Exception):
    """There can be no root here; the text says why."""


@dataclass(frozen=True, slots=True)
class CleanRoot:
    """A Debian release below ``path``."""

    release: str
    path: pathlib.Path

    def run(self, command: Sequence[str], see: Sequence[pathlib.Path]) -> int:
        """Runs ``command``, which sees the folders ``see`` read-only at their own paths."""
        enter = ["exec", "chroot", str(self.path), *clean_environment(), *command]
        return run_alone([*self._mounts(see), "ip link set lo up", shlex.join(enter)])

    def python(self) -> str:
        """Its interpreter, as the root sees it."""
        return "/usr/bin/python3"

    def python_version(self) -> tuple[int, int]:
        """Of its interpreter."""
        name = os.readlink(self.path / "usr/bin/python3")
        major, minor = name.removeprefix("python").split(".")
        return int(major), int(minor)

    def _mounts(self, see: Sequence[pathlib.Path]) -> list[str]:
        mounts = [f"mount -t proc proc {self._quote('proc')}"]
        for name in ("tmp", "dev/shm"):
            mounts.append(f"mount -t tmpfs tmpfs {self._quote(name)}")
        for folder in see:
            target = self._quote(str(folder.resolve()))
            mounts.append(f"mkdir -p {target}")
            mounts.append(f"mount --bind {shlex.quote(str(folder.resolve()))} {target}")
            mounts.append(f"mount -o remount,ro,bind {target}")
        return mounts

    def _quote(self, path: str) -> str:
        return shlex.quote(f"{self.path}/{path.lstrip('/')}")


def clean_environment() -> list[str]:
    """The beginning of a command that gets these variables and no others."""
    return ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items())]


def run_alone(script: Sequence[str]) -> int:
    """Runs the lines of a shell in new namespaces; whatever they start ends with them."""
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    return subprocess.run([*unshare, "sh", "-ec", "\n".join(script)], check=False).returncode


def can_run_alone() -> bool:
    """Whether this process may make namespaces."""
    return os.geteuid() == 0 and run_alone(["true"]) == 0


def make_root(release: str, folder: pathlib.Path) -> CleanRoot:
    """The root of ``release`` below ``folder``, made when it is not there yet.

    Raises NoCleanRoot where it cannot be made.
    """
    if os.geteuid() != 0:
        raise NoCleanRoot("debootstrap needs root")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise NoCleanRoot(f"there is no {tool}")
    if not can_run_alone():
        raise NoCleanRoot("this process may not make namespaces")
    path = folder / release
    if path.is_dir():
        return CleanRoot(release, path)
    print(f"making a root of Debian {release}", flush=True)
    unfinished = folder / f"{release}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    done = subprocess.run(
        [*command, release, unfinished, MIRROR], stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        raise NoCleanRoot(f"debootstrap {release} failed: {done.stdout.strip().splitlines()[-1:]}")
    (unfinished / "etc" / "hosts").write_text(HOSTS)
    unfinished.rename(path)
    return CleanRoot(release, path)
