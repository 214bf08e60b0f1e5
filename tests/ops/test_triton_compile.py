"""The kernels as machine code for an H100, which needs no GPU."""

import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
from bilayer_graph.ops import _triton

PACKAGE = Path(_triton.__path__[0])
FILES = [
    module.name
    for module in pkgutil.iter_modules([str(PACKAGE)])
    if "@triton.jit" in (PACKAGE / f"{module.name}.py").read_text()
]
SCRIPT = Path(__file__).with_name("compile_kernels.py")
REGISTERS = 65536
"""Of one multiprocessor."""
SHARED = {90: 227 * 1024}
"""Bytes of shared memory that one multiprocessor gives its programs, by compute capability."""


@pytest.fixture(scope="module", params=SHARED)
def capability(request):
    return request.param


@pytest.fixture(scope="module")
def compiled(capability):
    # A process of its own: this one may have loaded the kernels for the interpreter.
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(capability)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize("file", FILES)
def test_every_kernel_is_compiled(file, compiled):
    built = {build["kernel"] for build in compiled[file]["builds"]}
    assert built == set(compiled[file]["kernels"])
    assert built


@pytest.mark.parametrize("file", FILES)
def test_no_register_is_spilled(file, compiled):
    for build in compiled[file]["builds"]:
        assert build["STACK"] == build["LOCAL"] == 0, build


@pytest.mark.parametrize("file", FILES)
def test_two_programs_share_a_multiprocessor(file, compiled, capability):
    for build in compiled[file]["builds"]:
        assert 2 * build["REG"] * build["warps"] * 32 <= REGISTERS, build
        assert 2 * build["shared"] <= SHARED[capability], build


@pytest.mark.parametrize("file", FILES)
def test_places_of_numbers_are_counted_in_64_bits(file, compiled):
    """32 bits end at 8 GB of float32, in the middle of a large batch."""
    for build in compiled[file]["builds"]:
        assert not build["narrow"], build


@pytest.mark.parametrize("file", FILES)
def test_programs_are_numbered_along_the_first_axis(file):
    """A GPU takes 65,535 along the others."""
    source = (PACKAGE / f"{file}.py").read_text()
    assert set(re.findall(r"(?:program_id|num_programs)\((.*?)\)", source)) <= {"0"}
    assert not re.findall(r"kernel\[\([^,]*,[^)]+\)\]", source)


@pytest.mark.parametrize("file", ["spmm", "sddmm", "group_norm", "group_norm_backward"])
def test_loads_are_wide(file, compiled):
    for build in compiled[file]["builds"]:
        assert build["wide"], build
