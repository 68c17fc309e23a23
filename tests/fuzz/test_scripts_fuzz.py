"""scripts/fuzz as a person runs it, for seconds instead of minutes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.replay.run import engine_kind
from tests.conftest import ROOT
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import FOUND

FUZZ = str(ROOT / "scripts/fuzz")


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("no .venv: scripts/fuzz runs in it")
    return subprocess.run([FUZZ, *arguments], capture_output=True, text=True, timeout=600)


def rows(output: str) -> dict[str, int]:
    """Inputs of each stage, from the summary."""
    found = re.findall(r"^  \w+ +(interpreted|compiled|asan), \w+ +([\d,]+) ", output, re.MULTILINE)
    return {engine: int(count.replace(",", "")) for engine, count in found}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_seconds(target: str, tmp_path: Path) -> None:
    done = fuzz("--target", target, "--seconds", "2", "--corpus", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    counts = rows(done.stdout)
    assert set(counts) == {"interpreted", "compiled"}
    assert min(counts.values()) > 0
    assert "compiled and interpreted agree" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_with_address_sanitizer(target: str, tmp_path: Path) -> None:
    if engine_kind() != "compiled":
        pytest.skip("engine is interpreted")
    compiler = shutil.which("gcc")
    library = (
        subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True) if compiler else None
    )
    if library is None or not Path(library.stdout.strip()).is_absolute():
        pytest.skip("libasan absent")
    done = fuzz("--target", target, "--seconds", "4", "--corpus", str(tmp_path), "--asan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(done.stdout)["asan"] > 0


@pytest.mark.slow
def test_one_input_again(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"\xd4\xc3\xb2\xa1")
    done = fuzz("--target", "container", "--run", str(tmp_path / "input"))
    assert done.returncode == 0, done.stderr
    assert "the file ends inside its header" in done.stdout


def test_an_input_without_its_target_is_refused(tmp_path: Path) -> None:
    done = fuzz("--run", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "fuzz: --run takes a file, and --target says what it is an input of\n"


@pytest.mark.slow
def test_a_planted_bug_is_found_kept_and_repeated(interpreted_tree: Path, tmp_path: Path) -> None:
    """Fuzzing that finds nothing says something only if it finds what is there."""
    tree = tmp_path / "planted"
    shutil.copytree(interpreted_tree, tree)
    headers = tree / "agent/datapath/headers.py"
    sound = headers.read_text("utf-8")
    planted = sound.replace("            if captured < 14:\n", "            if captured < 1:\n")
    assert planted != sound
    headers.write_text(planted, "utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])}
    worker = [sys.executable, "-P", "-m", "tests.fuzz.worker"]
    command = [*worker, "mutate", "--target", "frame", "--seconds", "6", "--findings", str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == FOUND, done.stdout + done.stderr
    found = re.search(r"^FINDING (\S+) IndexError headers.py", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    once = [*worker, "once", "--target", "frame", "--input", found[1]]
    repeated = subprocess.run(once, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert repeated.returncode == 1
    assert "IndexError" in repeated.stderr
