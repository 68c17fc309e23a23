"""Runs whole processes and measures them: time, processor time, memory, what came from the disk. Knows no tool.

Every process is started by a small one of its own, `LAUNCHER`. The kernel counts as a process's largest resident set
also what the process that started it had, so started from here even a tiny tool would seem to need what this needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = """
import json, os, sys, time
files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
started = time.perf_counter()
try:
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=files)
except OSError as error:
    sys.exit(f"cannot start: {error.strerror}")
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - started
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime,
                  usage.ru_maxrss, usage.ru_inblock]))
"""


class ToolFailedError(Exception):
    """A measured command could not be started or said no; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one process."""

    seconds: float
    """From its start to its end."""
    cpu: float
    """Seconds of processor time, its own and the kernel's for it: what a busy machine disturbs least."""
    peak: int
    """Bytes of the largest resident set: of the process, or of one that it started if that had a larger one."""
    disk: int
    """Bytes that came from the disk: nothing, if the cache was warm."""


def run(command: Sequence[str]) -> Sample:
    """One whole process, from its start to its end. Raises ToolFailedError."""
    # As installed: with its byte code kept, whatever this shell says about that.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launcher, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    errors = done.stderr.decode(errors="replace").strip()
    if done.returncode:
        raise ToolFailedError(f"{' '.join(command)}: {errors}")
    code, seconds, cpu, peak, blocks = json.loads(done.stdout)
    if code:
        raise ToolFailedError(f"{' '.join(command)}: exit {code}: {errors}")
    return Sample(seconds=seconds, cpu=cpu, peak=peak * (1 if sys.platform == "darwin" else 1024), disk=512 * blocks)


def smallest_peak() -> int:
    """What even a process that needs nothing seems to need: the launcher's own memory."""
    return run(["true"]).peak


def warm(files: Sequence[Path]) -> None:
    """Reads the files, so that the runs find them in memory."""
    for path in dict.fromkeys(file.resolve() for file in files):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def in_turn(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    say: Callable[[str], None] = lambda text: None,
    outputs: Sequence[Path] = (),
) -> dict[str, tuple[Sample, ...]]:
    """Each command `rounds` times, one after the other in each round, so that a busy moment hits them alike.

    `outputs` are removed before each: replacing a file of 100 MB has some file systems write it out at once, which
    says more about the disk than about the command.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            for path in outputs:
                path.unlink(missing_ok=True)
            os.sync()  # what the one before wrote shall not be written while this one runs
            samples[name].append(run(command))
            say(f"round {number + 1} of {rounds}: {name}: {samples[name][-1].seconds:.3f} s")
    return {name: tuple(found) for name, found in samples.items()}
