"""The part of a stream that is in memory: one buffer that moves along it and grows only when it is full.

Must not know: what the bytes mean.

    >>> window = Window(stream, size=4096, limit=1 << 20)  # doctest: +SKIP
    >>> window.ensure(24), bytes(window.data[window.at : window.at + 4])  # doctest: +SKIP
    (True, b'\\xd4\\xc3\\xb2\\xa1')
"""

from __future__ import annotations

from agent.capture.streams import ByteStream


class Window:
    """Unread bytes are data[at:end]; whoever reads them moves `at`."""

    def __init__(self, stream: ByteStream, *, size: int, limit: int) -> None:
        self.data: bytearray | memoryview = bytearray(size)
        self.at = 0
        self.end = 0
        self._stream = stream
        self._size = size
        self._limit = limit
        self._origin = 0
        self.moved = 0
        """Bytes copied to make room."""

    def offset(self, position: int) -> int:
        """Where data[position] lies in the stream."""
        return self._origin + position

    def move_to(self, data: bytearray | memoryview) -> None:
        """The unread bytes to the front of `data`, which holds them, where it goes on; other memory stays as it is."""
        left = self.end - self.at
        memoryview(data)[:left] = memoryview(self.data)[self.at : self.end]
        self.moved += left
        self._origin += self.at
        self.data, self.at, self.end = data, 0, left

    def go_on(self, data: bytearray | memoryview, at: int, end: int, passed: int) -> None:
        """Unread are now data[at:end]; since data[0] was last told of, `passed` bytes of the stream are behind."""
        self._origin += passed
        self.data, self.at, self.end = data, at, end

    def ensure(self, size: int) -> bool:
        """Fetches bytes until at least `size` (at most the limit) are unread; False if the stream ends before.

        Whatever pointed into `data` is void. Memory follows the bytes that came, never the `size` that was claimed.
        """
        if self.end - self.at >= size:
            return True
        left = self.end - self.at
        if len(self.data) > self._size >= max(2 * left, size):
            self.move_to(bytearray(self._size))  # the long block is behind
        elif self.at:
            self.move_to(self.data)
        while self.end < size:
            # Only a full buffer is copied: a stream may give its bytes one by one.
            if self.end == len(self.data):
                self.move_to(bytearray(min(2 * self.end, self._limit)))
            got = self._stream.readinto(memoryview(self.data)[self.end :])
            if got == 0:
                return False
            self.end += got
        return True
