"""Compares cpp/src/executor/ascend/abi.h with the headers that two published wheels bring.

The wheels are fetched by name, checked by hash and unpacked below build/; nothing of them is
installed, linked or kept in the repository. A copy of abi.h with two parameters exchanged has to be
refused, which shows that the comparison compares.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ROOT / "cpp" / "src"
CHECK = ROOT / "tests" / "ascend" / "abi_check.cc"
WHEELS = ROOT / "tests" / "ascend" / "headers.txt"
ABI = pathlib.Path("executor", "ascend", "abi.h")
EXAMPLE = """example:
  tools/check_ascend_abi.py --folder build/ascend-headers
"""

HEADERS = "torch_npu/include/third_party/"
META_HEADER = HEADERS + "op-plugin/op_plugin/utils/op_api_common_base.h"
META_STRUCTS = ("aclOpExecutor", "aclTensor", "aclScalar", "aclIntArray")
META_TYPES = re.compile(
    r"^typedef [^;{}]*?\(\*_acl(?:Create|Destroy)(?:Tensor|Scalar|IntArray)\)\([^;]*?\);"
    r"|^using OpApiFunc = int \(\*\)\(void\*[^;]*;",
    re.MULTILINE,
)
WRONG = ("const void* from, size_t count, MemcpyKind kind, Stream* stream",
         "size_t count, const void* from, MemcpyKind kind, Stream* stream")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Headers:
    """The unpacked headers of one wheel."""

    version: str
    include: pathlib.Path
    has_meta: bool
    """Whether they tell the types of aclnn's meta functions."""

    def flags(self) -> list[str]:
        """For the compiler."""
        third_party = self.include / "third_party"
        folders = (third_party / "acl/inc", third_party / "acl/inc/acl", third_party / "hccl/inc")
        flags = [f"-isystem{folder}" for folder in (*folders, self.include)]
        return [*flags, "-DPIPESERVE_CHECK_META"] if self.has_meta else flags


def pins() -> list[str]:
    """The lines of headers.txt that name a wheel."""
    return [line for line in WHEELS.read_text().splitlines() if line.startswith("torch-npu")]


def fetch(pin: str, folder: pathlib.Path) -> pathlib.Path:
    """The wheel, from the index unless it is there already."""
    version = re.match(r"torch-npu==(\S+)", pin)
    assert version is not None
    found = list(folder.glob(f"torch_npu-{version[1]}-*.whl"))
    if not found:
        print(f"fetching torch-npu {version[1]}", flush=True)
        requirement = folder / "requirement.txt"
        requirement.write_text(pin + "\n")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
        platform = ["--only-binary=:all:", "--python-version=311", "--implementation=cp",
                    "--platform=manylinux_2_28_x86_64"]  # fmt: skip
        subprocess.run([*pip, *platform, "-d", folder, "-r", requirement], check=True)
        found = list(folder.glob(f"torch_npu-{version[1]}-*.whl"))
    return found[0]


def unpack(wheel: pathlib.Path, folder: pathlib.Path) -> Headers:
    """The headers of a wheel, and what it tells of the meta functions as a header of ours."""
    version = wheel.name.split("-")[1]
    target = folder / version
    with zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if name.startswith(HEADERS)]
        archive.extractall(target, wanted)
        text = archive.read(META_HEADER).decode() if META_HEADER in wanted else ""
    include = target / "torch_npu" / "include"
    types = META_TYPES.findall(text)
    if types:
        structs = [f"struct {name};" for name in META_STRUCTS]
        (include / "meta_types.h").write_text("\n".join([*structs, *types]) + "\n")
    return Headers(version, include, bool(types))


def compile_check(headers: Headers, sources: pathlib.Path) -> str:
    """What the compiler says; empty when it agrees."""
    command = ["g++", "-std=c++20", "-fsyntax-only", "-w", "-fmax-errors=0", f"-I{sources}"]
    done = subprocess.run(
        [*command, *headers.flags(), CHECK],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def undeclared(output: str) -> set[str]:
    """The functions that headers have not."""
    return set(re.findall(r"error: '::(\w+)' has not been declared", output))


def other_errors(output: str) -> Iterator[str]:
    """What is wrong apart from functions that headers have not, and what follows from that."""
    for line in output.splitlines():
        if "error:" not in line and "error :" not in line:
            continue
        if "has not been declared" in line or re.search("template argument 2 is invalid", line):
            continue
        yield line


def compare(all_headers: list[Headers]) -> bool:
    """Whether nothing differs, and each function is declared by one set of headers at least."""
    good = True
    nowhere: set[str] | None = None
    for headers in all_headers:
        output = compile_check(headers, SOURCES)
        absent = undeclared(output)
        nowhere = absent if nowhere is None else nowhere & absent
        for line in other_errors(output):
            good = False
            print(f"torch-npu {headers.version}: {line}")
        meta = "with" if headers.has_meta else "without"
        print(
            f"torch-npu {headers.version}: compared, {meta} the meta functions of aclnn; "
            f"not declared there: {', '.join(sorted(absent)) or 'none'}"
        )
    if nowhere:
        print(f"declared by none of the wheels: {', '.join(sorted(nowhere))}")
    if not any(headers.has_meta for headers in all_headers):
        print("none of the wheels tells the types of the meta functions of aclnn")
        return False
    return good and not nowhere


def catches_a_wrong_one(headers: Headers, folder: pathlib.Path) -> bool:
    """Whether a copy of abi.h that exchanges two parameters is refused for that."""
    text = (SOURCES / ABI).read_text()
    if text.count(WRONG[0]) != 1:
        sys.exit(f"check_ascend_abi.py: abi.h declares {WRONG[0]!r} {text.count(WRONG[0])} times")
    copy = folder / "wrong" / ABI
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text.replace(*WRONG))
    caught = "ABI mismatch: aclrtMemcpyAsync" in compile_check(headers, folder / "wrong")
    print(f"a wrong declaration of aclrtMemcpyAsync is {'' if caught else 'NOT '}caught")
    return caught


def main() -> None:
    """Exits with 1 when something differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "ascend-headers")
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    all_headers = [unpack(fetch(pin, folder), folder) for pin in pins()]
    good = compare(all_headers)
    if not (catches_a_wrong_one(all_headers[-1], folder) and good):
        sys.exit(1)


if __name__ == "__main__":
    main()
