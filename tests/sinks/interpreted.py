"""The compiled modules of the sinks once more, run by the interpreter, whatever is compiled."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import agent.sinks

_MODULES = ("buffer", "community", "lines", "jsonl")
"""In the order in which they import each other."""


@cache
def interpreted() -> dict[str, ModuleType]:
    """Name to module: each of them uses the interpreted form of the others."""
    found = {}
    compiled = {f"agent.sinks.{name}": sys.modules.get(f"agent.sinks.{name}") for name in _MODULES}
    try:
        for name in _MODULES:
            full = f"agent.sinks.{name}"
            spec = importlib.util.spec_from_file_location(full, Path(agent.sinks.__path__[0]) / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules[full] = found[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    finally:
        for full, before in compiled.items():
            if before is None:
                sys.modules.pop(full, None)
            else:
                sys.modules[full] = before
    return found
