"""Who may import whom: rooms one way, each third-party library at home, nothing heavy before it is needed."""

from __future__ import annotations

import ast
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"model"}),
    frozenset({"policy", "capture", "attribution"}),
    frozenset({"isolation", "datapath"}),
    frozenset({"engine"}),
    frozenset({"sinks"}),
    frozenset({"traffic"}),
    frozenset({"replay", "record"}),
    frozenset({"cli"}),
)
"""From the ground up. A room imports rooms of lower layers and itself; rooms of one layer are siblings."""

RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

HOMES = {
    "cython": ("agent/datapath/flows.py", "agent/replay/pump.py", "agent/sinks/buffer.py", "agent/sinks/community.py"),
    "defusedxml": ("agent/attribution/logs/eventxml.py",),
    "evtx": ("agent/attribution/logs/evtx.py",),
    "netaddr": ("agent/policy/document.py",),
    "orjson": ("agent/sinks/", "agent/attribution/", "agent/cli/"),
    "psutil": ("agent/attribution/", "agent/cli/doctor.py"),
    "pyarrow": ("agent/sinks/",),
    "rich": ("agent/cli/",),
    "scapy": ("agent/traffic/",),
    "typer": ("agent/cli/",),
    "yaml": ("agent/policy/document.py",),
    "zstandard": ("agent/attribution/", "agent/capture/", "agent/sinks/"),
}
"""Each third-party library and the only files (or folders, with a slash) that import it."""

PURE = ("model", "isolation", "datapath", "engine")
"""Rooms that get their time and bytes as arguments."""

EDGE_MODULES = frozenset(
    {"asyncio", "glob", "http", "io", "multiprocessing", "os", "pathlib", "random", "select", "selectors", "shutil"}
    | {"signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib"}
)
"""What reads a clock, opens something, blocks or rolls dice."""

TEXT_ONLY = {("agent/model/address.py", "socket")}
"""Exceptions: inet_pton and inet_ntop only turn text into bytes and back."""

HEAVY = ("scapy", "pyarrow", "fastapi", "pandas", "netaddr", "psutil", "numpy", "asyncio")
"""What a replay without rules must not load: its start-up would pay for it. (pydantic comes with newer typers.)"""


def modules() -> list[Path]:
    """All source and declaration files of the package."""
    return sorted(path for path in (ROOT / "agent").rglob("*.p*") if path.suffix in (".py", ".pxd"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str | None:
    """`agent.policy.match` -> `policy`; None for the package itself, which holds the version only."""
    parts = module.split(".")
    if len(parts) == 1 or (len(parts) == 2 and parts[1].startswith("__")):
        return None
    return parts[1]


def python_imports(source: str, package: str) -> Iterator[str]:
    """Every module that Python source imports, anywhere in it, lazily and for types too."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, level=0, names=names) if module == "agent":
                yield from (f"agent.{name.name}" for name in names)
            case ast.ImportFrom(module=module, level=0):
                yield module or ""
            case ast.ImportFrom(module=module, level=level):
                yield ".".join([*package.split(".")[: -(level - 1) or None], *([module] if module else [])])
            case ast.Call(
                func=ast.Name("__import__" | "import_module") | ast.Attribute(attr="import_module"), args=[argument, *_]
            ):
                # A computed name would walk past this test: only literals are allowed.
                assert isinstance(argument, ast.Constant), f"computed import in {package}: {ast.unparse(argument)}"
                yield str(argument.value)


def cython_imports(source: str, package: str) -> Iterator[str]:
    """Every module that a .pxd file cimports or imports."""
    for line in source.splitlines():
        if found := re.match(r"\s*from\s+([\w.]+)\s+c?import\b", line):
            name = found[1]
            yield package + name if name.startswith(".") else name
        elif found := re.match(r"\s*c?import\s+([\w., ]+)", line):
            yield from (name.split(" as ")[0].strip() for name in found[1].split(","))


def imports(path: Path) -> list[str]:
    package = named(path.parent).replace("/", ".")
    read = cython_imports if path.suffix == ".pxd" else python_imports
    return list(read(path.read_text("utf-8"), package))


@pytest.mark.parametrize("path", modules(), ids=named)
def test_imports_point_down_and_never_to_siblings(path: Path) -> None:
    """cli > replay > traffic > sinks > engine > isolation | datapath > policy | capture | attribution > model."""
    own = room_of(named(path).removesuffix(path.suffix).replace("/", "."))
    for module in imports(path):
        if module.split(".")[0] != "agent" or (room := room_of(module)) is None or room == own:
            continue
        assert room in RANK, f"{named(path)} imports {module}: give the room {room} a layer"
        assert own is not None, f"{named(path)} imports {module}: the package itself imports nothing"
        assert RANK[room] < RANK[own], f"{named(path)} imports {module}: {own} may not import {room}"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_third_party_libraries_stay_at_home(path: Path) -> None:
    """A library is imported in its home only, and one without a home nowhere."""
    cython_own = {"cython", "libc", "cpython"} if path.suffix == ".pxd" else set()
    for module in imports(path):
        library = module.split(".")[0]
        if library == "agent" or library in sys.stdlib_module_names or library in cython_own:
            continue
        homes = HOMES.get(library, ())
        assert named(path).startswith(homes), f"{named(path)} imports {module}, whose home is {homes or 'nowhere'}"


@pytest.mark.parametrize("path", [path for path in modules() if path.parent.name in PURE], ids=named)
def test_pure_rooms_open_nothing_and_read_no_clock(path: Path) -> None:
    """Time and bytes are arguments: only edge modules import what blocks, opens or ticks."""
    used = {module.split(".")[0] for module in imports(path)}
    assert not {module for module in used & EDGE_MODULES if (named(path), module) not in TEXT_ONLY}


def test_every_room_has_a_layer() -> None:
    """A new folder under agent/ must say where it stands before anything else."""
    rooms = {path.name for path in (ROOT / "agent").iterdir() if (path / "__init__.py").is_file()}
    assert rooms == RANK.keys()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("import scapy.all", ["scapy.all"], id="module"),
        pytest.param("def f():\n    from agent.cli import main", ["agent.cli"], id="lazy"),
        pytest.param("if TYPE_CHECKING:\n    from agent.engine.engine import X", ["agent.engine.engine"], id="types"),
        pytest.param("from agent import policy", ["agent.policy"], id="from-the-package"),
        pytest.param("from . import lines", ["agent.sinks"], id="relative"),
        pytest.param("from ..engine import events", ["agent.engine"], id="relative-up"),
        pytest.param("import importlib\nimportlib.import_module('yaml')", ["importlib", "yaml"], id="dynamic"),
    ],
)
def test_every_form_of_import_is_seen(source: str, expected: list[str]) -> None:
    """The walk would prove nothing if a form of import escaped it."""
    assert list(python_imports(source, "agent.sinks")) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from agent.datapath.headers cimport Header", ["agent.datapath.headers"]),
        ("cimport cython", ["cython"]),
        ("from libc.stdint cimport uint64_t", ["libc.stdint"]),
        ("cimport agent.capture.scan as scan, cython", ["agent.capture.scan", "cython"]),
        ("from .flows cimport Flow", ["agent.datapath.flows"]),
    ],
)
def test_every_form_of_cimport_is_seen(line: str, expected: list[str]) -> None:
    """As above, for the declarations that Cython reads."""
    assert list(cython_imports(line, "agent.datapath")) == expected


def one_packet_capture() -> bytes:
    """A pcap with one TCP SYN from 10.0.0.5 to 203.0.113.9:443."""
    ip = bytes.fromhex("4500002800010000400600000a000005cb007109")
    tcp = bytes.fromhex("c35001bb00000001000000005002ffff00000000")
    frame = bytes.fromhex("020000000001020000000002") + b"\x08\x00" + ip + tcp
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return head + struct.pack("<IIII", 1_767_603_600, 0, len(frame), len(frame)) + frame


def test_a_small_replay_loads_nothing_heavy(tmp_path: Path) -> None:
    """Start-up is a feature: a replay of a small capture without rules imports neither scapy nor its like."""
    capture = tmp_path / "one.pcap"
    capture.write_bytes(one_packet_capture())
    summary = tmp_path / "summary.json"
    arguments = ["replay", str(capture), "--local", "10.0.0.5", "--summary-json", str(summary), "--no-progress"]
    program = (
        "import json, sys\n"
        "from agent.cli.main import main\n"
        f"sys.argv = ['isolation-agent', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(summary.read_text())["packets"]["total"] == 1
    assert json.loads(done.stdout.splitlines()[-1]) == []
