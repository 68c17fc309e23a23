"""Questions to the kernel, and what may go wrong with the answers."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agent.attribution.live.lookup import Lookup
from agent.attribution.live.netlink import ANY_STATE, LISTENING, DiagError, SockDiag
from agent.attribution.live.sockets import TCP, UDP, Socket, most_specific, takes
from agent.attribution.live.source import LiveSource

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

LOOPBACK = 0x7F000001


class Scripted:
    """In place of the kernel: answers every question with what a test wrote."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self._answer = answer
        self._waiting: list[bytes] = []

    def send(self, question: bytes) -> None:
        self._waiting = self._answer(question)

    def recv(self, size: int) -> bytes:
        if not self._waiting:
            raise TimeoutError(errno.EAGAIN, "nothing to read")
        return self._waiting.pop(0)[:size]

    def close(self) -> None:
        """As the real one's."""


@contextmanager
def diag(answer: Callable[[bytes], list[bytes]]) -> Iterator[SockDiag]:
    made = SockDiag()
    made.close()
    made._socket = Scripted(answer)  # type: ignore[assignment]
    yield made


def message(kind: int, sequence: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def sequence_of(question: bytes) -> int:
    number: int = struct.unpack_from("=I", question, 8)[0]
    return number


def test_the_kernel_names_inode_user_state_and_a_cookie() -> None:
    import os

    kernel = SockDiag()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as one:
        port, there = one.getsockname()[1], listener.getsockname()[1]
        found = kernel.connection(4, LOOPBACK, port, LOOPBACK, there)
        assert found is not None
        assert found.inode == os.fstat(one.fileno()).st_ino
        assert found.uid == os.geteuid()
        assert (found.local, found.local_port, found.remote, found.remote_port) == (LOOPBACK, port, LOOPBACK, there)
        assert found.connected
        (listening,) = kernel.on_port(TCP, 4, there, LISTENING)
        assert not listening.connected
        assert listening.cookie != found.cookie != 0
    assert kernel.connection(4, LOOPBACK, 1, LOOPBACK, 1) is None
    assert kernel.knows(TCP)
    assert kernel.knows(UDP)
    assert not kernel.knows(200)
    kernel.close()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_refusal_says_which(number: int) -> None:
    refusal = struct.pack("=i", -number)
    with diag(lambda question: [message(2, sequence_of(question), refusal)]) as kernel:
        with pytest.raises(DiagError) as caught:
            kernel.connection(4, LOOPBACK, 1, LOOPBACK, 1)
        assert caught.value.errno == number
        assert not kernel.knows(TCP)


def test_answers_to_older_questions_are_passed_over() -> None:
    """As after a question whose answer came too late."""
    gone = struct.pack("=i", -errno.ENOENT)

    def answer(question: bytes) -> list[bytes]:
        now = sequence_of(question)
        return [message(2, now - 1, struct.pack("=i", -errno.EPERM)) + message(2, now, gone)]

    with diag(answer) as kernel:
        assert kernel.connection(4, LOOPBACK, 1, LOOPBACK, 1) is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([], id="none"),
        pytest.param([b""], id="empty"),
        pytest.param([b"\0" * 40], id="zeros"),
        pytest.param([b"\xff" * 15], id="short"),
        pytest.param([struct.pack("=IHHII", 4, 3, 0, 1, 0)], id="a-size-too-small"),
    ],
)
def test_without_an_answer_that_makes_sense_there_is_an_error(answer: list[bytes]) -> None:
    with diag(lambda question: list(answer)) as kernel:
        with pytest.raises(DiagError) as caught:
            kernel.connection(4, LOOPBACK, 1, LOOPBACK, 1)
        assert caught.value.errno == errno.EAGAIN


def test_a_refused_question_is_a_counted_miss() -> None:
    """Never an exception: the chain would count it as a broken source."""
    source = LiveSource(ask=True)
    refusal = struct.pack("=i", -errno.EPERM)
    with diag(lambda question: [message(2, sequence_of(question), refusal)]) as kernel:
        source._finder._lookup = Lookup(kernel)  # type: ignore[attr-defined]
        assert source.find(TCP, 4, LOOPBACK, 1, LOOPBACK, 1, 0, 0) is None
    assert source.misses == {"refused": 1}


def made(version: int = 4, local: int = 0, remote: int = 0, only6: bool = False) -> Socket:
    return Socket(version, local, 53, remote, 9 if remote else 0, 7, 1, 0, 0, 0, only6)


@pytest.mark.parametrize(
    ("one", "version", "local", "expected"),
    [
        pytest.param(made(), 4, 5, True, id="any-ipv4"),
        pytest.param(made(), 6, 5, False, id="any-ipv4-is-not-ipv6"),
        pytest.param(made(version=6), 4, 5, True, id="dual"),
        pytest.param(made(version=6, only6=True), 4, 5, False, id="ipv6-only"),
        pytest.param(made(version=6), 6, 5, True, id="any-ipv6"),
        pytest.param(made(local=5), 4, 5, True, id="bound"),
        pytest.param(made(local=5), 4, 6, False, id="bound-elsewhere"),
        pytest.param(made(version=6, local=5), 4, 5, False, id="same-number-other-version"),
    ],
)
def test_which_packets_a_socket_takes(one: Socket, version: int, local: int, expected: bool) -> None:
    assert takes(one, version, local) is expected


def test_the_most_specific_sockets_win_together() -> None:
    wild, bound, connected = made(), made(local=5), made(local=5, remote=7)
    assert most_specific([wild, connected, bound]) == [connected]
    assert most_specific([wild, bound, bound]) == [bound, bound]
    assert most_specific([]) == []


def test_states_are_a_mask() -> None:
    kernel = SockDiag()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert len(kernel.on_port(TCP, 4, port, ANY_STATE)) == 1
        assert kernel.on_port(TCP, 4, port, ANY_STATE & ~LISTENING) == []
    kernel.close()
