"""Makes the folders of a shape: capture and documents. Tells on standard error how far it is."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from random import Random

from benchmark.documents import write_documents
from benchmark.packets import write_capture
from benchmark.plan import plan_flows
from benchmark.shapes import Shape, amount, refusal


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def generate(shape: Shape) -> None:
    """Writes what is missing of the shape; each folder beside first, so that an interrupted run leaves none.

    Raises ValueError if the shape cannot be or the disk has no room for it.
    """
    if why := refusal(shape.missing_bytes(), shape.root):
        raise ValueError(why)
    dice = Random(shape.seed)
    plan = plan_flows(shape, dice)
    if not shape.capture().exists():
        started = time.perf_counter()
        say(f"making {shape.packets:,} packets in {shape.flows:,} flows, about {amount(shape.missing_bytes())}")
        partial = emptied(shape.traffic().with_name(shape.traffic().name + ".partial"))
        with (partial / "traffic.pcap").open("wb") as file:
            write_capture(plan, dice, file)
        shutil.rmtree(shape.traffic(), ignore_errors=True)
        partial.rename(shape.traffic())
        size = amount(shape.capture().stat().st_size)
        say(f"{size} in {time.perf_counter() - started:.0f} s, {plan.composition()}")
    partial = emptied(shape.folder().with_name(shape.folder().name + ".partial"))
    write_documents(shape, plan, partial)
    (partial / "traffic.pcap").symlink_to("../traffic.pcap")
    partial.rename(shape.folder())


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
