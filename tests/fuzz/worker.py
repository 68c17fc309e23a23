"""One process that feeds one target, as scripts/fuzz starts it: mutation, atheris, digests, or one input again.

    python -m tests.fuzz.worker mutate --target frame --seconds 60 --seed 1 --corpus DIR --findings DIR

On which agent it runs is the parent's choice of PYTHONPATH. Each input lies in `--findings` as `current-PID` before it
is judged, so that not even a crash of the process loses it. Ends with 0, or FOUND.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import sys
import time
import traceback
from pathlib import Path

FOUND = 10
"""Exit code where there were findings: any other is the end of a process that was not to end."""
PROGRESS = 5.0
"""Seconds between two lines of progress."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz.worker", description=__doc__)
    parser.add_argument("mode", choices=("mutate", "atheris", "digests", "once"))
    parser.add_argument("--target", required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--findings", type=Path)
    parser.add_argument("--input", type=Path)
    options = parser.parse_args(arguments)
    if options.mode == "atheris":
        return _atheris(options)
    from tests.fuzz.targets import TARGETS

    target = TARGETS[options.target]
    if options.mode == "once":
        print(target.run(options.input.read_bytes()))
        return 0
    if options.mode == "digests":
        for path in sorted(options.corpus.iterdir()):
            print(path.name, target.run(path.read_bytes()).digest)
        return 0
    return _Mutation(options).run()


class _Mutation:
    """Made and mutated inputs until the time is over; findings that look alike are kept once."""

    def __init__(self, options: argparse.Namespace) -> None:
        from tests.fuzz.targets import TARGETS, captures, mutate

        self.target = TARGETS[options.target]
        self.mutate = mutate
        self.options = options
        self.dice = random.Random(options.seed)
        self.inputs = self.target.seeds()
        if options.target in ("container", "carried", "replay"):
            self.inputs += captures()
        if options.corpus is not None and options.corpus.is_dir():
            self.inputs += [path.read_bytes() for path in sorted(options.corpus.iterdir())]
        self.outcomes: set[str] = set()
        self.executions = 0
        self.packets = 0
        self.seen: set[str] = set()
        self.current: Path = options.findings / f"current-{os.getpid()}"

    def run(self) -> int:
        for seed in list(self.inputs):
            self._judge(seed)
        began = told = time.monotonic()
        while (now := time.monotonic()) - began < self.options.seconds:
            if now - told >= PROGRESS:
                self._tell(now - began)
                told = now
            data = self._next()
            if self._judge(data) and len(self.inputs) < 5000:
                self.inputs.append(data)
        self._tell(time.monotonic() - began)
        self.current.unlink()
        return FOUND if self.seen else 0

    def _next(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.2:
            return self.target.make(dice)
        data = self.mutate(dice, dice.choice(self.inputs), dice.choice(self.inputs))
        return data[: self.target.longest]

    def _judge(self, data: bytes) -> bool:
        """True for an outcome of a kind not seen before: an input worth mutating further."""
        self.current.write_bytes(data)
        self.executions += 1
        try:
            outcome = self.target.run(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - anything that escapes is the finding
            self._found(data, error)
            return False
        self.packets += outcome.packets
        # Without coverage: a refusal's words, or how many packets were judged, tell kinds of inputs apart.
        kind = outcome.refused[:60] if outcome.refused is not None else f"{outcome.packets} {len(data) // 64}"
        new = kind not in self.outcomes
        self.outcomes.add(kind)
        return new

    def _found(self, data: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{type(error).__name__} {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}"
        if place in self.seen:
            return
        self.seen.add(place)
        path = self.options.findings / f"{self.options.target}-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
        path.write_bytes(data)
        print(f"FINDING {path} {place}: {str(error)[:300]}", flush=True)
        traceback.print_exception(error, limit=-4, file=sys.stderr)

    def _tell(self, seconds: float) -> None:
        rate = self.executions / seconds if seconds else 0.0
        print(
            f"PROGRESS {self.executions} inputs, {rate:.0f}/s, {self.packets} packets, corpus {len(self.inputs)},"
            f" findings {len(self.seen)}",
            flush=True,
        )


def _atheris(options: argparse.Namespace) -> int:
    """Coverage of the interpreted agent leads the way; libFuzzer keeps its corpus in `--corpus`."""
    import atheris

    with atheris.instrument_imports(include=["agent.capture", "agent.datapath", "agent.engine"]):
        import agent.capture.reader
        import agent.engine.engine  # noqa: F401 - imported here to be instrumented
    from tests.fuzz.targets import TARGETS

    target = TARGETS[options.target]
    for number, seed in enumerate(target.seeds()):
        if len(seed) <= target.longest:
            with contextlib.suppress(FileExistsError), open(options.corpus / f"seed-{number}", "xb") as file:
                file.write(seed)
    argv = [
        "fuzz",
        f"-max_total_time={int(options.seconds)}",
        f"-seed={options.seed}",
        f"-max_len={target.longest}",
        f"-artifact_prefix={options.findings}/{options.target}-",
        "-timeout=60",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        "-report_slow_units=20",
        "-use_value_profile=0",
        str(options.corpus),
    ]
    atheris.Setup(argv, target.run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
