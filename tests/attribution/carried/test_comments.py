"""Comments of ptcpdump and etl2pcapng; free text is no process, and arguments never become a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attribution.carried.comments import read_etl2pcapng, read_ptcpdump
from agent.attribution.evidence import Claim

CURL = b"PID: 812\nCmd: /usr/bin/curl\nArgs: curl -m 5 example.com"


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        pytest.param(
            [CURL], Claim(pid=812, image="/usr/bin/curl", command_line="curl -m 5 example.com"), id="a process"
        ),
        pytest.param(
            [
                CURL,
                b"ThreadId: 813\nThreadName: Cmd: /bin/x",
                b"UserId: 1000\nGroupId: 1000",
                b"ParentPID: 1\nParentCmd: /sbin/init\nParentArgs: init",
                b"ContainerName: web\nContainerId: abc\nContainerImage: i\nContainerLabels: Cmd: /bin/x",
            ],
            Claim(pid=812, image="/usr/bin/curl", command_line="curl -m 5 example.com", user="1000", container="web"),
            id="everything ptcpdump writes",
        ),
        pytest.param([b"PID:7\nCommand:/bin/sh\n"], Claim(pid=7, image="/bin/sh"), id="older spelling"),
        pytest.param([b"PID: 7\nCmd: /usr/lib/firef...\nArgs: "], Claim(pid=7), id="a path that was cut is none"),
        pytest.param(
            [b"PID: 7\nCmd: \nArgs: a\nCmd: /usr/bin/trusted"],
            Claim(pid=7, command_line="a\nCmd: /usr/bin/trusted"),
            id="arguments with line breaks stay arguments",
        ),
        pytest.param([b"PID: 7\nCmd: /tmp/a\nb\nArgs: x"], Claim(pid=7), id="a path with a line break is none"),
        pytest.param(
            [b"PID: 7\nCmd: /tmp/a\nCmd: /usr/bin/trusted\nArgs: x"], Claim(pid=7), id="nor is one with two paths"
        ),
        pytest.param(
            [b"PID: 7\nCmd: /bin/a\nArgs: a", b"PID: 8\nCmd: /bin/b\nArgs: b"],
            Claim(pid=7, image="/bin/a", command_line="a"),
            id="the first process counts",
        ),
        pytest.param(
            [b"ContainerName: \nContainerId: abc\nContainerImage: i", CURL],
            Claim(pid=812, image="/usr/bin/curl", command_line="curl -m 5 example.com", container="abc"),
            id="a container without a name",
        ),
    ],
)
def test_ptcpdump(comments: list[bytes], expected: Claim) -> None:
    assert read_ptcpdump(comments) == expected


@pytest.mark.parametrize(
    "comment",
    [
        b"",
        b"svc BE, in",
        b"PID: 0\nCmd: /bin/x",
        b"PID: x",
        b"PID: 99999999999",
        b"Cmd: /bin/x\nPID: 5",
        b"note: PID: 5",
    ],
)
def test_no_process_of_ptcpdump(comment: bytes) -> None:
    assert read_ptcpdump([comment]) is None


@pytest.mark.parametrize(
    ("comment", "pid"),
    [
        (b"PID=4", 4),
        (b"PID=4 TID=88", 4),
        (b"PID=4 TID=88 RoutingDomainId=a b Username=x=y", 4),
        (b"PID=4 TID=88 Packet Metadata: ReceiveFlags:0x1", 4),
        (b"PID=4294967295 TID=0", 4294967295),
        (b"PID=0 TID=0", None),
        (b"PID=4x", None),
        (b" PID=4", None),
        (b"see PID=4", None),
        (b"PID=-1 TID=-1", None),
        (b"PID=99999999999", None),
        (b"PID=4294967296", None),
        (b"PID=4\n", None),
    ],
)
def test_etl2pcapng(comment: bytes, pid: int | None) -> None:
    assert read_etl2pcapng([comment]) == (None if pid is None else Claim(pid=pid))


@given(comments=st.lists(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(b"PID: 7\nCmd: /x".__add__))))
def test_any_bytes(comments: list[bytes]) -> None:
    for claim in (read_ptcpdump(comments), read_etl2pcapng(comments)):
        assert claim is None or (claim.pid is not None and claim.pid > 0)


@given(arguments=st.binary(max_size=60))
def test_arguments_never_change_the_path(arguments: bytes) -> None:
    claim = read_ptcpdump([b"PID: 7\nCmd: /bin/x\nArgs: " + arguments])
    assert claim is not None
    assert claim.image == "/bin/x"
