"""One process with PyPI's grpcio, protobuf and numpy. With torch: make coexistence."""

import itertools
import subprocess
import sys

import pytest

from pipeserve_native import _core

MODULES = ("grpc", "protobuf", "pipeserve")


@pytest.mark.parametrize("flags", [(), ("--global",)], ids=["local", "global"])
@pytest.mark.parametrize("order", list(itertools.permutations(MODULES)), ids="-".join)
def test_modules_work_in_any_order_of_import(start, tmp_path, request, order, flags):
    root = request.config.rootpath
    # Not by a call: grpcio-tools brings a protobuf whose symbols the whole process sees.
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root / 'proto'}"]
    subprocess.run([*protoc, f"--python_out={tmp_path}", "ms_service.proto"], check=True)
    script = root / "tests" / "coexistence" / "use_together.py"
    program = start(sys.executable, script, *flags, *order)
    assert program.wait() == 0, program.output
    assert f"used: {' '.join(order)}" in program.output


def exported(library):
    command = ["nm", "--dynamic", "--defined-only", "--format=just-symbols", library]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_extension_exports_its_entry_alone():
    assert exported(_core.__file__) == ["PyInit__core"]


def test_symbols_stay_private_whatever_python_was_told(start_script):
    program = start_script(
        "shared.py",
        """
import ctypes
import os
import sys

sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
import pipeserve_native

assert sys.getdlopenflags() == os.RTLD_NOW | os.RTLD_GLOBAL
print("shared:", hasattr(ctypes.CDLL(None), "grpc_init"))
""",
    )
    assert program.wait() == 0, program.output
    assert "shared: False" in program.output
