"""Gives the symbols of the libraries in a wheel names that no other module has.

Other modules bring other versions of the same libraries: grpcio-tools, for one, has a protobuf
whose unique symbols (STB_GNU_UNIQUE) the loader shares between all modules, whichever way they are
loaded, and one version then runs on the data of the other. What has a name of its own is shared
with nobody.
"""

from __future__ import annotations

import pathlib
import subprocess

PREFIX = "pipeserve_private_"
ELF = b"\x7fELF"


def elf_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All libraries and programs below ``folder``."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            if file.read(len(ELF)) == ELF:
                found.append(path)
    return found


def defined_symbols(library: pathlib.Path) -> set[str]:
    """The names that the loader finds in a library, without their versions."""
    nm = ["nm", "--dynamic", "--defined-only", "--format=posix", str(library)]
    lines = subprocess.run(nm, capture_output=True, text=True, check=True).stdout.splitlines()
    fields = (line.split() for line in lines)
    return {name.partition("@")[0] for name, kind, *_ in fields if kind != "A"}  # A: a version.


def system_libraries(elf: pathlib.Path, folder: pathlib.Path) -> set[pathlib.Path]:
    """The libraries outside ``folder`` that the loader takes for a library or program."""
    lines = subprocess.run(["ldd", elf], capture_output=True, text=True, check=True).stdout
    paths = {pathlib.Path(word) for word in lines.split() if word.startswith("/")}
    return {path for path in paths if folder not in path.resolve().parents}


def private_name(name: str) -> str:
    """The new name."""
    return PREFIX + name


def make_private(folder: pathlib.Path, patchelf: str, work: pathlib.Path) -> int:
    """Renames what the libraries of the unpacked wheel define; how many names that are."""
    folder = folder.resolve()
    files = elf_files(folder)
    names: set[str] = set()
    for library in folder.glob("*.libs/*"):
        names |= defined_symbols(library)
    # What the system defines as well may be meant where it is used.
    for library in set().union(*(system_libraries(path, folder) for path in files)):
        names -= defined_symbols(library)
    renames = work / "renames"
    renames.write_text("".join(f"{name} {private_name(name)}\n" for name in sorted(names)))
    for path in files:
        subprocess.run([patchelf, "--rename-dynamic-symbols", renames, path], check=True)
        if kept := names & defined_symbols(path):
            raise RuntimeError(f"{path} still defines {sorted(kept)[:5]}")
    return len(names)
