"""Compile every kernel for a GPU and print, as JSON, what each needs: no GPU is asked."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tempfile

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from bilayer_graph.ops import _triton


def compile_build(build, capability):
    names = build.kernel.arg_names
    signature = {name: build.signature.get(name, "constexpr") for name in names}
    aligned = [(names.index(name),) for name, kind in signature.items() if kind.endswith(":16")]
    source = ASTSource(
        build.kernel,
        {name: kind.removesuffix(":16") for name, kind in signature.items()},
        {(names.index(name),): value for name, value in build.constants.items()},
        {path: [["tt.divisibility", 16]] for path in aligned},
    )
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options={"num_warps": build.num_warps})


def of_ones(build):
    """The build that Triton takes for numbers that are all 1: it makes constants of them."""
    numbers = [name for name, kind in build.signature.items() if kind.startswith("i32")]
    signature = {name: kind for name, kind in build.signature.items() if name not in numbers}
    return build._replace(
        signature=signature, constants=build.constants | dict.fromkeys(numbers, 1)
    )


def resources(cubin):
    """Registers a thread and bytes of its stack, where spilled registers go."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {key: int(re.search(rf"{key}:(\d+)", usage)[1]) for key in ("REG", "STACK", "LOCAL")}


def report(module, capability):
    kernels = [key for key in vars(module) if key.endswith("_kernel")]
    builds = [
        {
            "kernel": build.kernel.__name__,
            "constants": str(build.constants),
            "warps": build.num_warps,
            "shared": compiled.metadata.shared,
            "wide": "ld.global.v" in compiled.asm["ptx"],
            "narrow": re.findall(r"arith\.muli.*tensor<.*i32>", compiled.asm["ttir"]),
            **resources(compiled.asm["cubin"]),
        }
        for build in module.BUILDS
        for compiled in [compile_build(build, capability)]
    ]
    for build in {build.kernel.__name__: build for build in module.BUILDS}.values():
        compile_build(of_ones(build), capability)
    return {"kernels": kernels, "builds": builds}


if __name__ == "__main__":
    files = [module.name for module in pkgutil.iter_modules(_triton.__path__)]
    modules = [importlib.import_module(f"bilayer_graph.ops._triton.{name}") for name in files]
    reports = {
        name: report(module, int(sys.argv[1]))
        for name, module in zip(files, modules, strict=True)
        if hasattr(module, "BUILDS")
    }
    json.dump(reports, sys.stdout)
