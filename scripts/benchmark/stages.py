"""Where the time of a replay goes: runs ever more of it, inside one process, and prints the seconds of each as JSON.

Run by the agent's Python (breakdown.py does): nothing here slows the product, since nothing in it is changed. A stage
is a function that prepares and returns what is timed; each does what the one before does and something more, and the
difference is what that costs. The list STAGES is all there is to adapt:

- what moves inside the agent moves here with it: if frames are decoded by the reader, "decode" becomes part of
  "frames", and its line goes;
- where two threads share the work, processor time still adds up, wall time does not: both are printed, and the table
  is made of processor time.

    .venv/bin/python scripts/benchmark/stages.py '{"rounds": 3, "cases": [{"folder": "...", "packets": 3000000}]}'
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.capture.batch import Batch
from agent.capture.reader import open_capture
from agent.model.vocabulary import Mode
from agent.replay.options import ReplayOptions
from agent.replay.track import Track
from agent.replay.wiring import load_world
from agent.sinks.summary import CaptureRow

NEVER = 0xFFFFFFFFFFFFFFFF
PIECE = 512 << 10
"""Bytes read at a time, as the reader does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One capture with its documents."""

    folder: str
    packets: int

    @property
    def capture(self) -> str:
        return f"{self.folder}/traffic.pcap"

    def options(self, **more: Any) -> ReplayOptions:
        return ReplayOptions(
            captures=(self.capture,),
            mode=Mode.SELECTIVE,
            rules=f"{self.folder}/rules.yaml",
            device=f"{self.folder}/device.yaml",
            attribution=(f"{self.folder}/sockets.jsonl",),
            **more,
        )


Work = Callable[[], object]


def load(case: Case) -> Work:
    """Every document."""
    return lambda: load_world(case.options())


def read(case: Case) -> Work:
    """The file's bytes, and nothing else."""

    def work() -> None:
        piece = bytearray(PIECE)
        with open(case.capture, "rb", buffering=0) as file:
            while file.readinto(piece):
                pass

    return work


def frames(case: Case) -> Work:
    """... cut into packets."""
    return lambda: _each_batch(case, lambda batch: None)


def decode(case: Case) -> Work:
    """... each with its header decoded, its owner's end known and its place in the flow table looked for.

    What --from does with packets before its moment: they are decoded ahead and not judged.
    """
    track = _track(case, case.options())
    track.path.begin = NEVER
    return lambda: _judge(case, track)


def look_up(case: Case) -> Work:
    """... put in its flow and counted, not isolated and without owners: the least a flow can ask for."""
    track = _track(case, replace(case.options(), mode=Mode.NONE, rules=None, attribution=()))
    return lambda: _checked(case, track)


def authorise(case: Case) -> Work:
    """... each new flow attributed, given a direction and judged under selective isolation."""
    track = _track(case, case.options())
    return lambda: _checked(case, track)


def conclude(case: Case) -> Work:
    """... every flow ended and the summary made."""
    track = _track(case, case.options())
    return lambda: _to_the_end(case, track)


def tell(case: Case) -> Work:
    """... an event made of each flow and thrown away."""
    options = case.options()
    track = Track(load_world(options), options, 0, _Nobody())
    return lambda: _to_the_end(case, track)


def record(case: Case) -> Work:
    """... the event written as a decision record: a replay with --decisions, but for start-up and documents."""
    track = _track(case, case.options(decisions=f"{case.folder}/stage.jsonl"))
    return lambda: _to_the_end(case, track)


STAGES: dict[str, tuple[Callable[[Case], Work], str | None]] = {
    "load documents": (load, None),
    "read the file": (read, None),
    "find packets": (frames, "read the file"),
    "decode headers": (decode, "find packets"),
    "flow lookup": (look_up, "decode headers"),
    "authorise": (authorise, "flow lookup"),
    "end and summary": (conclude, "authorise"),
    "make events": (tell, "end and summary"),
    "write records": (record, "make events"),
}
"""What is done, and the stage that does all of it but this; breakdown.py says what each depends on."""


class _Nobody:
    """A sink that hears everything and keeps nothing."""

    def flow(self, event: object) -> None:
        pass

    def isolation(self, record: object) -> None:
        pass

    def fault(self, record: object) -> None:
        pass


def _track(case: Case, options: ReplayOptions) -> Track:
    return Track(load_world(options), options, 0)


def _each_batch(case: Case, use: Callable[[Batch], object]) -> None:
    with open_capture(case.capture) as reader:
        while (batch := reader.next_batch()) is not None:
            use(batch)


def _judge(case: Case, track: Track) -> None:
    def judge(batch: Batch) -> None:
        track.attach(batch)
        track.process(batch, 0, batch.count)

    _each_batch(case, judge)


def _checked(case: Case, track: Track) -> None:
    _judge(case, track)
    if track.packets() != case.packets:  # a stage that does less than it says would look fast
        raise SystemExit(f"{case.capture}: {track.packets()} packets judged of {case.packets}")


def _to_the_end(case: Case, track: Track) -> None:
    _checked(case, track)
    track.finish()
    track.summary([CaptureRow(path=case.capture)], [], interrupted=False)


def measure(work: Work) -> tuple[float, float]:
    """(processor seconds, wall seconds); without the collector of cycles, as a replay runs."""
    gc.collect()
    gc.freeze()
    gc.disable()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    gc.enable()
    gc.unfreeze()
    return cpu, wall


def main() -> None:
    asked = json.loads(sys.argv[1])
    results: list[dict[str, list[tuple[float, float]]]] = [{name: [] for name in STAGES} for _ in asked["cases"]]
    for number in range(asked["rounds"]):
        for case, found in zip(asked["cases"], results, strict=True):
            for name, (stage, _) in STAGES.items():
                found[name].append(measure(stage(Case(**case))))
            print(
                f"bench: stages: round {number + 1} of {asked['rounds']}: {case['packets']:,} packets",
                file=sys.stderr,
                flush=True,
            )
    less = {name: without for name, (_, without) in STAGES.items()}
    print(json.dumps({"less": less, "cases": results}))


if __name__ == "__main__":
    main()
