"""The package as people get it: sources that build, wheels with and without a compiler, editable installations."""

from __future__ import annotations

import ast
import json
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import __version__

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "*.so", "*.pyd", "*.c", ".[!c]*")
"""What a fresh clone would not have; of the dot files .ci is one."""

PROBE = """
import importlib, json, sys
from agent.policy.data import data_folder, read_data
import agent
print(json.dumps({
    "agent": agent.__file__,
    "data": data_folder(),
    "essential": len(read_data("essential.yaml")),
    "compiled": [name for name in sys.argv[1:] if not importlib.import_module(name).__file__.endswith(".py")],
}))
"""


def compiled_names() -> list[str]:
    """COMPILED of setup.py, read without running it."""
    tree = ast.parse((ROOT / "setup.py").read_text("utf-8"))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name("COMPILED")], value=value):
                return list(ast.literal_eval(value))
    raise AssertionError("setup.py has no COMPILED")


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; its failure is the test's, with all it said."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env={**clean, **(environment or {})}
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


# --- what holds without building ----------------------------------------------------------------------------------


def test_every_declaration_belongs_to_a_compiled_module() -> None:
    """A .pxd that setup.py does not list would be dead text; a listed module may do without one."""
    listed = {name.replace(".", "/") for name in compiled_names()}
    declared = {path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "agent").rglob("*.pxd")}
    assert declared <= listed
    assert all((ROOT / f"{name}.py").is_file() for name in listed)


def test_every_dependency_has_a_lower_bound() -> None:
    """`scripts/test --lowest` installs exactly these bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    assert [name for name in wanted if ">=" not in name and not name.startswith("isolation-agent[")] == []


@pytest.mark.parametrize("name", ["scripts/demo", "scripts/test", "scripts/check", "scripts/setup", ".ci/run"])
def test_scripts_are_executable_and_parse(name: str) -> None:
    """A script that lost its mode or a quote would be found on the fresh machine only."""
    assert os.access(ROOT / name, os.X_OK)
    run("bash", "-n", name, cwd=ROOT)


# --- what is built ------------------------------------------------------------------------------------------------

NEEDS_COMPILER = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One way to have the agent."""

    command: tuple[str, ...]
    python: Path
    environment: Mapping[str, str]

    def probe(self, cwd: Path) -> dict[str, object]:
        """Where its package and its data are, and what of it is compiled."""
        printed = run(self.python, "-c", PROBE, *compiled_names(), cwd=cwd, environment=self.environment)
        return dict(json.loads(printed))

    def replay(self, capture: Path, cwd: Path) -> tuple[bytes, bytes]:
        """Decision records and summary of a whole replay."""
        outputs = ["--decisions", "decisions.jsonl", "--summary-json", "summary.json", "--no-progress"]
        arguments = ["replay", str(capture), "--local", "10.0.0.5", *outputs]
        run(*self.command, *arguments, cwd=cwd, environment=self.environment)
        return (cwd / "decisions.jsonl").read_bytes(), (cwd / "summary.json").read_bytes()


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a clean copy of the tree."""
    pytest.importorskip("setuptools", "77.0.3", reason="building needs setuptools 77.0.3")
    pytest.importorskip("Cython", "3.1.0", reason="building needs Cython 3.1.0")
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "tree", ignore=NOT_SOURCE)
    build = "import setuptools.build_meta as backend; print(backend.build_sdist(sys.argv[1]))"
    printed = run(sys.executable, "-c", f"import sys; {build}", folder, cwd=folder / "tree")
    return folder / printed.splitlines()[-1]


@pytest.fixture(scope="module")
def unpack(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Each call gives a source tree of its own, as the source distribution has it."""

    def fresh() -> Path:
        folder = tmp_path_factory.mktemp("source")
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        return next(folder.iterdir())

    return fresh


@pytest.fixture(scope="module")
def wheel(unpack: Callable[[], Path]) -> Path:
    """Built with whatever compiler this machine has."""
    return build_wheel(unpack(), {"CFLAGS": "-O0"})


@pytest.fixture(scope="module")
def wheel_without_compiler(unpack: Callable[[], Path]) -> Path:
    """Built on a machine whose compiler always fails."""
    return build_wheel(unpack(), {"CC": "/bin/false", "CXX": "/bin/false"})


def build_wheel(tree: Path, environment: Mapping[str, str]) -> Path:
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-w", tree / "out"]
    run(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=tree, environment=environment)
    (built,) = (tree / "out").iterdir()
    return built


def install(folder: Path, *what: str | Path, environment: Mapping[str, str] | None = None) -> Installed:
    """A fresh environment with `what`; the dependencies come from the environment that runs the tests."""
    run(sys.executable, "-m", "venv", "--without-pip", "env", cwd=folder)
    python = folder / "env/bin/python"
    library = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    # A plain path: that environment's own editable installation of the agent is not seen through it.
    Path(library, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--no-warn-script-location"]
    run(python, "-m", "pip", "install", *options, *what, cwd=folder, environment=environment)
    return Installed(command=(str(folder / "env/bin/isolation-agent"),), python=python, environment={})


def small_capture(path: Path) -> Path:
    """A pcap of a TCP handshake, a UDP datagram and an ARP request."""
    ethernet = bytes.fromhex("020000000001020000000002")
    local, remote = bytes([10, 0, 0, 5]), bytes([203, 0, 113, 9])

    def ip(source: bytes, destination: bytes, protocol: int, transport: bytes) -> bytes:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(transport), 1, 0x4000, 64, protocol, 0)
        return ethernet + b"\x08\x00" + head + source + destination + transport

    def tcp(source: int, destination: int, sequence: int, acknowledgement: int, flags: int) -> bytes:
        return struct.pack("!HHIIBBHHH", source, destination, sequence, acknowledgement, 0x50, flags, 65535, 0, 0)

    frames = [
        ip(local, remote, 6, tcp(50000, 443, 7, 0, 0x02)),
        ip(remote, local, 6, tcp(443, 50000, 70, 8, 0x12)),
        ip(local, remote, 6, tcp(50000, 443, 8, 71, 0x10)),
        ip(local, remote, 17, struct.pack("!HHHH", 50001, 9999, 12, 0) + b"data"),
        ethernet + b"\x08\x06" + bytes(28),
    ]
    records = [
        struct.pack("<IIII", 1_767_603_600 + at, 0, len(frame), len(frame)) + frame for at, frame in enumerate(frames)
    ]
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(records))
    return path


@pytest.mark.slow
class TestBuilt:
    """Everything here builds or installs for real: outside the tree, without the network."""

    def test_the_source_distribution_holds_all_that_is_needed(self, sdist: Path) -> None:
        """It builds, compiled, and runs its tests: types, data, tests and scripts are in it, nothing generated."""
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
        wanted = {
            path.relative_to(ROOT).as_posix()
            for folder in ("agent", "policies", "tests", "scripts")
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix not in (".so", ".c", ".pyc")
        }
        wanted |= {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", ".ci/run"}
        assert wanted - names == set()
        assert [name for name in names if name.endswith((".so", ".c", ".pyc"))] == []

    def test_the_wheel_holds_code_and_data_only(self, wheel: Path) -> None:
        """No declarations, no generated C, no tests; the data lies inside the package."""
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
        assert {name.split("/")[0] for name in names} == {"agent", f"isolation_agent-{__version__}.dist-info"}
        assert [name for name in names if name.endswith((".pxd", ".c", ".pyc"))] == []
        shipped = {name.removeprefix("agent/policydata/") for name in names if name.startswith("agent/policydata/")}
        data = {
            path.relative_to(ROOT / "policies").as_posix() for path in (ROOT / "policies").rglob("*") if path.is_file()
        }
        assert shipped == data

    @NEEDS_COMPILER
    def test_the_wheel_is_compiled_where_there_is_a_compiler(self, wheel: Path, tmp_path: Path) -> None:
        """Installed, run from elsewhere: its own package, its own data, every module compiled."""
        found = install(tmp_path, wheel).probe(tmp_path)
        assert str(found["agent"]).startswith(str(tmp_path / "env"))
        assert found["data"] == str(Path(str(found["agent"])).parent / "policydata")
        assert found["compiled"] == compiled_names()

    def test_without_a_compiler_it_installs_and_runs_interpreted(
        self, wheel: Path, wheel_without_compiler: Path, tmp_path: Path
    ) -> None:
        """A failing compiler costs speed and nothing else: records and summary are the same bytes."""
        capture = small_capture(tmp_path / "small.pcap")
        outcomes = []
        for name, built in (("usual", wheel), ("interpreted", wheel_without_compiler)):
            folder = tmp_path / name
            folder.mkdir()
            installed = install(folder, built)
            outcomes.append(installed.replay(capture, folder))
        assert installed.probe(folder)["compiled"] == []
        assert outcomes[0] == outcomes[1]
        assert json.loads(outcomes[0][1])["packets"]["total"] == 5

    @pytest.mark.parametrize(
        ("mode", "environment"),
        [
            pytest.param("lenient", {"CC": "/bin/false"}, id="lenient"),
            # setuptools cannot do without an optional module here: strict needs a compiler.
            pytest.param("strict", {"CFLAGS": "-O0"}, id="strict", marks=NEEDS_COMPILER),
        ],
    )
    def test_an_editable_installation_runs_from_anywhere(
        self, unpack: Callable[[], Path], tmp_path: Path, mode: str, environment: Mapping[str, str]
    ) -> None:
        """It finds policies/ of the tree it points to; both of setuptools' ways to be editable do."""
        tree = unpack()
        options = ["--config-settings", f"editable_mode={mode}", "-e", tree]
        installed = install(tmp_path, *options, environment=environment)
        found = installed.probe(tmp_path)
        assert str(found["data"]).startswith(str(tree))
        assert found["essential"] == (ROOT / "policies/essential.yaml").stat().st_size
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        _, summary = installed.replay(small_capture(tmp_path / "small.pcap"), elsewhere)
        assert json.loads(summary)["packets"]["total"] == 5

    def test_a_plain_source_tree_runs_from_anywhere(self, unpack: Callable[[], Path], tmp_path: Path) -> None:
        """Nothing installed: the tree on the path is enough."""
        tree = unpack()
        plain = Installed(
            command=(sys.executable, "-m", "agent.cli"),
            python=Path(sys.executable),
            environment={"PYTHONPATH": str(tree)},
        )
        found = plain.probe(tmp_path)
        assert found["data"] == str(tree / "policies")
        assert found["compiled"] == []
        _, summary = plain.replay(small_capture(tmp_path / "small.pcap"), tmp_path)
        assert json.loads(summary)["packets"]["total"] == 5
