"""What tests in several rooms need. A test that cannot run on this machine skips by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT.parent / "shared" / "captures"

# A slow machine is no bug: what hypothesis calls a deadline would be an asserted time.
settings.register_profile("agent", deadline=None)
settings.load_profile("agent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need root run when it is root, and say so otherwise."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("needs_root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The source tree."""
    return ROOT


@pytest.fixture(scope="session")
def sample_capture() -> Callable[[str], Path]:
    """`sample_capture("icmp6.pcap")`: a real capture of the optional folder beside the tree."""

    def find(name: str) -> Path:
        if not CAPTURES.is_dir():
            pytest.skip("sample captures absent")
        return CAPTURES / name

    return find


@pytest.fixture(scope="session")
def tshark() -> str:
    """The path of tshark, an oracle of several tests."""
    path = shutil.which("tshark")
    if path is None:
        pytest.skip("tshark absent")
    return path


@pytest.fixture(scope="session")
def interpreted_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree without compiled modules, to be a child process's PYTHONPATH."""
    tree = tmp_path_factory.mktemp("interpreted")
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__")
    shutil.copytree(ROOT / "agent", tree / "agent", ignore=ignored)
    shutil.copytree(ROOT / "policies", tree / "policies")
    return tree
