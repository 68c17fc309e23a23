"""Any bytes give packets, or one CaptureError, and never anything else."""

from __future__ import annotations

import gzip
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.reader import open_capture
from agent.model.errors import CaptureError
from tests.capture.crafted import CRAFTED, Outcome, drain, interface, pcap_header, section

STARTS = st.sampled_from(
    [
        b"",
        pcap_header(),
        pcap_header(order=">", magic=0xA1B23C4D, link=0x24000001),
        section(),
        section() + interface(),
        section(">") + interface(101, ">"),
        b"\x1f\x8b\x08\x00",
        b"\xfd7zXZ\x00",
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
    ]
)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


def outcome_of(content: bytes) -> Outcome | None:
    """What a reader makes of `content`; None if it is no capture. drain() checks what must hold of any packet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any"
        path.write_bytes(content)
        try:
            return drain(open_capture(str(path)))
        except CaptureError as error:
            refusal = str(error)
    assert refusal.startswith(f"{path}: at byte ")
    assert "\n" not in refusal
    return None


@given(start=STARTS, rest=st.binary(max_size=400))
def test_any_bytes(start: bytes, rest: bytes) -> None:
    outcome_of(start + rest)


@given(
    name=st.sampled_from(sorted(CRAFTED)),
    packer=st.sampled_from(sorted(PACKERS)),
    inside=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=4),
    outside=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=2),
    keep=st.floats(0, 1),
)
def test_damaged_captures(
    name: str, packer: str, inside: list[tuple[float, bytes]], outside: list[tuple[float, bytes]], keep: float
) -> None:
    """Bytes changed inside, then compressed, changed and cut outside."""
    content = bytearray(CRAFTED[name])
    for place, value in inside:
        start = int(place * len(content))
        content[start : start + len(value)] = value
    packed = bytearray(PACKERS[packer](bytes(content)))
    for place, value in outside:
        start = int(place * len(packed))
        packed[start : start + len(value)] = value
    outcome_of(bytes(packed[: int(keep * len(packed)) if keep < 0.5 else len(packed)]))


@given(name=st.sampled_from(sorted(CRAFTED)), start=st.floats(0, 1), size=st.integers(1, 40))
def test_packets_before_the_damage_are_kept(name: str, start: float, size: int) -> None:
    """Whatever comes later in the file, what was whole before it is read the same."""
    content = CRAFTED[name]
    place = 100 + int(start * (len(content) - 100))
    before, whole = outcome_of(content[:place]), outcome_of(content[:place] + b"\xff" * size)
    assert before is not None
    assert whole is not None
    assert whole.packets[: len(before.packets)] == before.packets
