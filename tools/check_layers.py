#!/usr/bin/env python3
"""Holds every #include of the core against the layers declared in cpp/CMakeLists.txt.

A file below cpp/src/LAYER may include its own layer and the layers that LAYER names in DEPENDS.
A public header (cpp/include/pipeserve) belongs to the layer that lists it in PUBLIC_HEADERS and
includes public headers only. The bindings use nothing but public headers; programs may use every
layer. Prints each violation; exit code 1 if there is one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
LAYER = re.compile(r"pipeserve_add_layer\((\w+)(.*?)\)", re.DOTALL)

# gRPC stays inside these; everywhere else not even its headers may appear.
GRPC_LAYERS = {"wire", "agent", "client", "server"}
GRPC_INCLUDE = re.compile(r'^\s*#\s*include\s+[<"](grpc|grpcpp|\w+\.grpc\.pb)', re.MULTILINE)
PYTHON_INCLUDE = re.compile(r'^\s*#\s*include\s+[<"](pybind11/|Python\.h)', re.MULTILINE)


def read_layers(text: str) -> dict[str, dict[str, list[str]]]:
    """The layers of cpp/CMakeLists.txt with their keyword lists, in file order."""
    text = re.sub(r"#[^\n]*", "", text)
    layers: dict[str, dict[str, list[str]]] = {}
    for name, body in LAYER.findall(text):
        lists: dict[str, list[str]] = {}
        current = ""
        for word in body.split():
            if word.isupper() and word.replace("_", "").isalpha():
                current = word
                lists[current] = []
            elif current:
                lists[current].append(word)
        layers[name] = lists
    return layers


def check_order(layers: dict[str, dict[str, list[str]]]) -> list[str]:
    """A layer depends only on layers declared before it, so there is no cycle."""
    problems = []
    seen: set[str] = set()
    for name, lists in layers.items():
        for dependency in lists.get("DEPENDS", []):
            if dependency not in seen:
                problems.append(f"layer {name} depends on {dependency}, which is not to its left")
        seen.add(name)
    return problems


def layer_of(path: Path, owner: dict[str, str]) -> str:
    """The layer that a file below cpp/ belongs to; "" for a public header nobody owns."""
    parts = path.relative_to(ROOT / "cpp").parts
    if parts[0] == "include":
        return owner.get("/".join(parts[1:]), "")
    return parts[1] if parts[0] == "src" else "programs"


def target_of(include: str, owner: dict[str, str]) -> str | None:
    """The layer that an include reaches; None for generated code."""
    if include.startswith("pipeserve/"):
        return owner.get(include, "")
    return include.split("/", 1)[0] if "/" in include else None


def check_file(
    path: Path, layers: dict[str, dict[str, list[str]]], owner: dict[str, str]
) -> list[str]:
    """What one file includes and may not."""
    layer = layer_of(path, owner)
    public = path.is_relative_to(ROOT / "cpp/include")
    text = path.read_text(encoding="utf-8")
    problems = []
    if layer == "bindings":
        allowed = {"bindings"}
    elif layer == "programs":
        allowed = set(layers)
    elif layer in layers:
        allowed = {layer, *layers[layer].get("DEPENDS", [])}
    elif public:
        return ["in no layer's PUBLIC_HEADERS"]
    else:
        return [f"{layer} is not a layer"]

    for include in INCLUDE.findall(text):
        target = target_of(include, owner)
        is_public = include.startswith("pipeserve/")
        if target is None or (is_public and layer == "bindings"):
            continue
        if public and not is_public:
            problems.append(f"a public header may not include {include}")
        elif target not in allowed:
            problems.append(f"layer {layer} may not include {include} (layer {target or '?'})")
    if layer not in GRPC_LAYERS and layer != "programs" and GRPC_INCLUDE.search(text):
        problems.append(f"gRPC is for {', '.join(sorted(GRPC_LAYERS))} only")
    if layer != "bindings" and PYTHON_INCLUDE.search(text):
        problems.append("the core knows no Python")
    return problems


def main() -> int:
    """Checks every file below cpp/."""
    layers = read_layers((ROOT / "cpp/CMakeLists.txt").read_text(encoding="utf-8"))
    owner = {
        f"pipeserve/{header}": name
        for name, lists in layers.items()
        for header in lists.get("PUBLIC_HEADERS", [])
    }
    problems = check_order(layers)
    files = sorted(p for p in (ROOT / "cpp").rglob("*") if p.suffix in {".h", ".cc"})
    for path in files:
        problems += [f"{path.relative_to(ROOT)}: {p}" for p in check_file(path, layers, owner)]
    for problem in problems:
        print(problem)
    print(f"check_layers: {len(files)} files, {len(layers)} layers, {len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
