"""The buffer that moves along a stream."""

from __future__ import annotations

from agent.capture.window import Window

CONTENT = bytes(range(256)) * 40


class Pieces:
    """A stream that gives `size` bytes at a time."""

    truncated = False
    fault: str | None = None

    def __init__(self, content: bytes, size: int) -> None:
        self.content = content
        self.size = size

    def readinto(self, target: memoryview) -> int:
        piece = self.content[: min(self.size, len(target))]
        self.content = self.content[len(piece) :]
        target[: len(piece)] = piece
        return len(piece)


def test_unread_bytes_stay_and_their_place_in_the_stream_is_known() -> None:
    window = Window(Pieces(CONTENT, 16), size=64, limit=64)
    read = b""
    while window.ensure(7):
        assert window.offset(window.at) == len(read)
        read += bytes(window.data[window.at : window.at + 7])
        window.at += 7
    assert read + bytes(window.data[window.at : window.end]) == CONTENT


def test_memory_follows_the_bytes_and_not_the_claim() -> None:
    window = Window(Pieces(bytes(3000), 100), size=1024, limit=1 << 24)
    assert not window.ensure(1 << 24)
    assert len(window.data) == 4096
    assert window.end - window.at == 3000


def test_memory_ends_at_the_limit() -> None:
    window = Window(Pieces(CONTENT, 1000), size=1000, limit=5000)
    assert window.ensure(5000)
    assert len(window.data) == 5000
    assert bytes(window.data) == CONTENT[:5000]


def test_memory_taken_for_something_long_is_given_back_when_it_is_behind() -> None:
    window = Window(Pieces(bytes(9000), 10_000), size=1000, limit=1 << 24)
    assert window.ensure(8500)
    assert len(window.data) == 16_000
    window.at += 8900
    assert not window.ensure(500)
    assert len(window.data) == 1000
    assert window.end - window.at == 100
    assert window.offset(window.at) == 8900
