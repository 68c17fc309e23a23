"""Socket records as the contract has them: every field, every way to get one wrong, and what is tolerated."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from agent.attribution.sockets import SocketRecords, load_socket_records
from agent.attribution.textfile import MAX_LINE
from agent.attribution.values import Owner
from agent.model.address import Address, is_unicast, parse_address, parse_endpoint
from agent.model.device import Family
from agent.model.errors import AttributionError
from agent.model.moment import SECOND, parse_time

CONTRACT = (
    r'{"start":"2026-01-05T09:00:00.000000Z","end":null,"protocol":"tcp","local":"10.0.0.5:50123",'
    r'"remote":"203.0.113.9:443","initiated":true,"pid":4242,"process_created":"2026-01-05T08:59:59Z",'
    r'"image":"C:\\Program Files\\Support\\support.exe","services":[],"package_family_name":null,'
    r'"user":"CONTOSO\\ann","parent_pid":640}'
)
"""The example of the contract, as it stands there."""

START = "2026-01-05T09:00:00Z"
T0 = parse_time(START)
PLAIN: dict[str, Any] = {"start": START, "protocol": "tcp", "local": "10.0.0.5:50123", "remote": "203.0.113.9:443"}


def written(tmp_path: Path, *lines: str | dict[str, Any], end: str = "\n") -> str:
    path = tmp_path / "sockets.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text + end, "utf-8")
    return str(path)


def loaded(tmp_path: Path, *lines: str | dict[str, Any], **options: Any) -> SocketRecords:
    return load_socket_records(written(tmp_path, *lines), **options)


def ask(
    source: SocketRecords,
    local: str = "10.0.0.5:50123",
    remote: str = "203.0.113.9:443",
    *,
    now: int = T0,
    protocol: int = 6,
    direction: int = 0,
) -> Owner | None:
    here, there = parse_endpoint(local), parse_endpoint(remote)
    assert here.address is not None
    assert there.address is not None
    version, value = here.address
    return source.find(protocol, version, value, here.port, there.address.value, there.port, now, direction)


def test_the_example_of_the_contract(tmp_path: Path) -> None:
    source = loaded(tmp_path, CONTRACT)
    owner = ask(source, direction=2)
    assert owner is not None
    subject = owner.subject
    assert owner.initiated is True
    assert not owner.listening
    assert subject.image == r"C:\Program Files\Support\support.exe"
    assert subject.canonical_image == r"C:\PROGRAM FILES\SUPPORT\SUPPORT.EXE"
    assert subject.services == ()
    assert (subject.package_family_name, subject.package_known) == (None, True)
    assert (subject.pid, subject.user, subject.source) == (4242, r"CONTOSO\ann", "sockets")
    assert subject.confidence.label == "high"
    assert (source.name, source.complete) == ("sockets", True)
    assert source.facts == {"image", "services", "package"}
    assert source.warnings == ()
    assert source.local_addresses() == (Address(4, 0x0A000005),)


def test_only_start_protocol_and_local_are_mandatory(tmp_path: Path) -> None:
    """Absent is unknown: nothing is taken to be false, none or empty."""
    source = loaded(tmp_path, {"start": START, "protocol": "udp", "local": "0.0.0.0:53"})
    owner = ask(source, "10.0.0.5:53", protocol=17)
    assert owner is not None
    subject = owner.subject
    assert (owner.initiated, owner.listening) == (None, False)
    assert (subject.image, subject.canonical_image, subject.services, subject.pid) == (None, None, None, None)
    assert (subject.package_family_name, subject.package_known) == (None, False)
    assert source.facts == frozenset()
    assert source.local_addresses() == ()


@pytest.mark.parametrize("key", ["end", "remote", "initiated", "pid", "image", "services", "user", "state"])
def test_null_is_as_absent(tmp_path: Path, key: str) -> None:
    base = {"start": START, "protocol": "tcp", "local": "10.0.0.5:50123"}
    without, with_null = ask(loaded(tmp_path, base)), ask(loaded(tmp_path, {**base, key: None}))
    assert without is not None
    assert with_null is not None
    assert with_null.subject == without.subject
    assert (with_null.initiated, with_null.listening) == (without.initiated, without.listening)


def test_unknown_keys_are_ignored(tmp_path: Path) -> None:
    """A newer version may write more."""
    assert ask(loaded(tmp_path, {**PLAIN, "netns": {"deep": [1, {}]}, "Image": 5})) is not None


@pytest.mark.parametrize(
    ("state", "listening"),
    [("LISTEN", True), ("listen", True), ("LISTENING", True), ("UNCONN", False), (None, False)],
)
def test_a_listening_socket_owns_no_outbound_flow(tmp_path: Path, state: str | None, listening: bool) -> None:
    source = loaded(tmp_path, {**PLAIN, "remote": None, "state": state, "initiated": True})
    owner = ask(source)
    assert owner is not None
    assert owner.listening == listening
    assert owner.initiated is None, "no connection, so nobody opened it"
    assert (ask(source, direction=2) is None) == listening


@pytest.mark.parametrize(
    ("local", "remote", "here", "there"),
    [
        ("[2001:db8::5]:443", "[2001:db8::9]:50000", "[2001:db8::5]:443", "[2001:db8::9]:50000"),
        ("[::ffff:10.0.0.5]:80", "[::ffff:203.0.113.9]:1", "10.0.0.5:80", "203.0.113.9:1"),
        ("[fe80::5%eth0]:80", "[fe80::9%eth0]:1", "[fe80::5]:80", "[fe80::9]:1"),
        ("[::]:80", "203.0.113.9:1", "10.0.0.5:80", "203.0.113.9:1"),
        ("0.0.0.0:80", "0.0.0.0:0", "10.0.0.5:80", "203.0.113.9:1"),
        ("[::]:80", "[::]:0", "[2001:db8::5]:80", "[2001:db8::9]:1"),
    ],
    ids=["ipv6", "mapped", "scoped", "dual-stack-connection", "wildcard-remote", "wildcard-remote-ipv6"],
)
def test_every_spelling_of_endpoints(tmp_path: Path, local: str, remote: str, here: str, there: str) -> None:
    assert ask(loaded(tmp_path, {**PLAIN, "local": local, "remote": remote}), here, there) is not None


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-01-05T09:00:00Z", "2026-01-05T09:00:01Z", T0, T0 + SECOND),
        ("2026-01-05T09:00:00.000001Z", "2026-01-05T09:00:00.5Z", T0 + 1000, T0 + SECOND // 2),
        ("2026-01-05T09:00:00.000000007Z", "2026-01-05T09:00:00.000000009Z", T0 + 7, T0 + 9),
        ("2026-01-05T10:00:00+01:00", "2026-01-05t09:00:01z", T0, T0 + SECOND),
        ("2026-01-05T04:00:00.25-05:00", "2026-01-05T09:00:00.75Z", T0 + SECOND // 4, T0 + SECOND * 3 // 4),
    ],
    ids=["seconds", "fractions", "nanoseconds", "zone-and-lower-case", "zone-and-fraction"],
)
def test_times_are_exact(tmp_path: Path, start: str, end: str, first: int, last: int) -> None:
    """Also the second time a second is seen, when it comes from the cache."""
    row = {**PLAIN, "start": start, "end": end}
    source = loaded(tmp_path, row, {**row, "local": "10.0.0.5:1"}, slack_ns=0)
    for local in ("10.0.0.5:50123", "10.0.0.5:1"):
        known = [ask(source, local, now=now) is not None for now in (first - 1, first, last, last + 1)]
        assert known == [False, True, True, False]


def endpoint_texts() -> st.SearchStrategy[str]:
    """Endpoints as programs spell them, almost so, and as nobody does."""
    group = st.sampled_from(["0", "1", "db8", "0DB8", "ffff", "FFFF", "00000", "g", "", "1.2.3.4", "%1"])
    octet = st.sampled_from(["0", "1", "10", "127", "255", "256", "01", "1000", "", "٣"])
    port = st.sampled_from(["0", "1", "443", "65535", "65536", "00443", "000443", "", "-1", "٣", "4a"])
    ipv4 = st.lists(octet, min_size=3, max_size=5).map(".".join)
    ipv6 = st.lists(group, min_size=1, max_size=9).map(":".join)
    real = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
    bracketed = st.one_of(ipv6, real).map(lambda host: f"[{host}]")
    host = st.one_of(real, ipv4, bracketed, st.sampled_from(["[::]", "[::1]", "[::ffff:1.2.3.4]", "[::ffff:102:304]"]))
    return st.one_of(st.tuples(host, port).map(":".join), st.text("0123456789abcdef:.[]%", max_size=24))


@given(endpoint_texts())
@example("[1::2:3:4:5:6:7]:1")
@example("[1::2:3:4:5:6:7:8]:1")
@example("[::1:2:3:4:5:6:7]:1")
@example("[1:2:3:4:5:6:7::]:1")
@example("[1:2:3:4:5:6:7:8]:65535")
@example("[1:2:3:4:5:6:7:]:1")
@example("[:1:2:3:4:5:6:7]:1")
@example("[1:::2]:1")
@example("[::ffff:a00:5]:1")
@example("[::1:0:0]:1")
def test_endpoints_are_read_as_the_model_reads_them(text: str) -> None:
    """Whatever reads the plain ones digit by digit: the same address and port, or the same words on what is wrong."""
    with NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(json.dumps({"start": START, "protocol": "udp", "local": text}).encode())
        file.flush()
        wrong = ""
        try:
            address, port, version = parse_endpoint(text)
        except ValueError as error:
            wrong = str(error)
        if wrong:
            with pytest.raises(AttributionError) as caught:
                load_socket_records(file.name)
            assert str(caught.value).endswith(f": local {wrong}")
            return
        source = load_socket_records(file.name)
    assert list(source.local_addresses()) == ([address] if address is not None and is_unicast(address) else [])
    here = address or Address(version, 1)
    assert source.find(17, here.version, here.value, port, 1, 1, T0, 0) is not None
    assert source.find(17, here.version, here.value, port ^ 1, 1, 1, T0, 0) is None
    if address is not None:
        assert source.find(17, here.version, here.value ^ 1, port, 1, 1, T0, 0) is None


def test_slack_is_a_minute_unless_told(tmp_path: Path) -> None:
    row = {**PLAIN, "end": START}
    assert ask(loaded(tmp_path, row), now=T0 + 60 * SECOND) is not None
    assert ask(loaded(tmp_path, row), now=T0 + 60 * SECOND + 1) is None
    assert ask(loaded(tmp_path, row, slack_ns=5), now=T0 + 6) is None


def test_equal_subjects_are_one_object(tmp_path: Path) -> None:
    row = {**PLAIN, "pid": 7, "image": r"C:\a.exe", "services": ["Dnscache"]}
    source = loaded(tmp_path, row, {**row, "local": "10.0.0.5:2"}, {**row, "local": "10.0.0.5:3", "pid": 8})
    first, second, third = (ask(source, local) for local in ("10.0.0.5:50123", "10.0.0.5:2", "10.0.0.5:3"))
    assert first is second
    assert first is not None
    assert third is not None
    assert third.subject != first.subject
    assert first.subject.services == ("dnscache",)


def test_the_device_gives_paths_their_form(tmp_path: Path) -> None:
    nt = r"\Device\HarddiskVolume3\Windows\svchost.exe"
    owner = ask(loaded(tmp_path, {**PLAIN, "image": nt}, drives={r"\Device\HarddiskVolume3": "C:"}))
    assert owner is not None
    assert owner.subject.image == r"C:\Windows\svchost.exe"
    owner = ask(loaded(tmp_path, {**PLAIN, "image": "/usr/bin/Curl"}, family=Family.LINUX))
    assert owner is not None
    assert owner.subject.canonical_image == "/usr/bin/Curl"


def test_images_that_cannot_be_compared_are_kept_and_warned_about(tmp_path: Path) -> None:
    source = loaded(tmp_path, {**PLAIN, "image": "/usr/bin/curl"})
    owner = ask(source)
    assert owner is not None
    assert (owner.subject.image, owner.subject.canonical_image) == ("/usr/bin/curl", None)
    assert [code for code, _ in source.warnings] == ["image_not_comparable"]


def test_local_addresses_in_order_of_first_appearance(tmp_path: Path) -> None:
    ends = ["10.0.0.6:1", "127.0.0.1:2", "[::1]:3", "0.0.0.0:4", "[::]:5", "[fe80::5]:6", "10.0.0.5:7", "10.0.0.6:8"]
    source = loaded(tmp_path, *({**PLAIN, "local": end, "remote": None} for end in [*ends, "127.9.9.9:1"]))
    assert source.local_addresses() == tuple(parse_address(text) for text in ("10.0.0.6", "fe80::5", "10.0.0.5"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("{", "is not JSON", id="broken-json"),
        pytest.param("hello", "is not JSON", id="text"),
        pytest.param('{"start":NaN}', "is not JSON", id="nan"),
        pytest.param('{"a":' * 2000 + "1" + "}" * 2000, "is not JSON", id="too-deep"),
        pytest.param("[]", "a socket record is a JSON object, not a list", id="list"),
        pytest.param("5", "a socket record is a JSON object, not the number 5", id="number"),
        pytest.param("{}", "start is missing; a socket record needs start, protocol, local", id="nothing"),
        pytest.param({"start": START, "local": "1.2.3.4:5"}, "protocol is missing", id="no-protocol"),
        pytest.param({**PLAIN, "local": None}, "local is missing", id="local-null"),
        pytest.param({**PLAIN, "start": "yesterday"}, "start 'yesterday' is not an RFC 3339 time", id="start-word"),
        pytest.param({**PLAIN, "start": START[:-1]}, "is not an RFC 3339 time", id="start-without-zone"),
        pytest.param({**PLAIN, "start": START[:-1] + ".Z"}, "is not an RFC 3339 time", id="start-empty-fraction"),
        pytest.param({**PLAIN, "start": START[:-1] + ".1234567890Z"}, "not an RFC 3339 time", id="start-ten-digits"),
        pytest.param({**PLAIN, "start": START[:-1] + ".\u0661Z"}, "not an RFC 3339 time", id="start-other-digits"),
        pytest.param({**PLAIN, "start": START[:-1] + "\u0130Z"}, "not an RFC 3339 time", id="start-other-letter"),
        pytest.param(
            {**PLAIN, "start": 1767603600}, "start must be an RFC 3339 time, not the number", id="start-number"
        ),
        pytest.param({**PLAIN, "end": ""}, "end '' is not an RFC 3339 time", id="end-empty"),
        pytest.param({**PLAIN, "end": "2026-01-05T08:59:59Z"}, "lies before start", id="end-before-start"),
        pytest.param({**PLAIN, "protocol": "tpc"}, "protocol 'tpc' is not one of", id="protocol-word"),
        pytest.param({**PLAIN, "protocol": 256}, "protocol '256' is not one of", id="protocol-number"),
        pytest.param({**PLAIN, "protocol": True}, "protocol must be a name or number, not true", id="protocol-bool"),
        pytest.param({**PLAIN, "protocol": []}, "protocol must be a name or number, not a list", id="protocol-list"),
        pytest.param({**PLAIN, "local": "10.0.0.5"}, "local '10.0.0.5' is not ADDRESS:PORT", id="local-no-port"),
        pytest.param({**PLAIN, "local": "10.0.0.5:65536"}, "is not ADDRESS:PORT", id="local-port-too-high"),
        pytest.param({**PLAIN, "local": "10.0.0.5:-1"}, "is not ADDRESS:PORT", id="local-port-negative"),
        pytest.param({**PLAIN, "local": "10.0.0.256:1"}, "is not an IPv4 or IPv6 address", id="local-address"),
        pytest.param({**PLAIN, "local": "host:443"}, "'host' is not an IPv4 or IPv6 address", id="local-name"),
        pytest.param({**PLAIN, "local": "2001:db8::5:443"}, "as [ADDRESS]:PORT", id="local-no-brackets"),
        pytest.param({**PLAIN, "local": 443}, "local must be a text such as 10.0.0.5:443", id="local-number"),
        pytest.param({**PLAIN, "remote": "*:*"}, "remote '*:*' is not ADDRESS:PORT", id="remote-star"),
        pytest.param({**PLAIN, "remote": ""}, "remote '' is not ADDRESS:PORT", id="remote-empty"),
        pytest.param({**PLAIN, "remote": "0.0.0.0:443"}, "write null", id="remote-wildcard-with-port"),
        pytest.param({**PLAIN, "remote": "[2001:db8::9]:1"}, "are of different IP versions", id="versions-differ"),
        pytest.param(
            {**PLAIN, "local": "0.0.0.0:1", "remote": "[2001:db8::9]:1"}, "different IP versions", id="wildcard-version"
        ),
        pytest.param({**PLAIN, "state": "LISTEN"}, "a listening socket has none; write null", id="listen-with-remote"),
        pytest.param({**PLAIN, "state": 1}, 'state must be "LISTEN" or absent', id="state-number"),
        pytest.param({**PLAIN, "initiated": "yes"}, "initiated must be true, false or null", id="initiated-text"),
        pytest.param({**PLAIN, "initiated": 1}, "initiated must be true, false or null", id="initiated-number"),
        pytest.param({**PLAIN, "pid": "4"}, "pid must be a whole number", id="pid-text"),
        pytest.param({**PLAIN, "pid": 1 << 70}, "pid must be a whole number", id="pid-beyond-64-bits"),
        pytest.param({**PLAIN, "image": 5}, "image must be a text or null", id="image-number"),
        pytest.param({**PLAIN, "services": "Dnscache"}, "services must be a list of service names", id="services-text"),
        pytest.param({**PLAIN, "package_family_name": 5}, "package_family_name must be a text or null", id="package"),
        pytest.param({**PLAIN, "user": ["ann"]}, "user must be a text or null", id="user-list"),
        pytest.param(
            {**PLAIN, "process_created": "8am"}, "process_created '8am' is not an RFC 3339", id="created-word"
        ),
        pytest.param({**PLAIN, "process_created": 5}, "process_created must be an RFC 3339 time", id="created-number"),
        pytest.param({**PLAIN, "process_created": []}, "process_created must be an RFC 3339 time", id="created-list"),
        pytest.param({**PLAIN, "container": {}}, "container must be a text or null", id="container-object"),
    ],
)
def test_a_broken_line_is_named_with_what_is_allowed(tmp_path: Path, line: str | dict[str, Any], expected: str) -> None:
    """File, line and culprit in one line of text, where half of the file is broken; the good line warmed each cache."""
    path = written(tmp_path, PLAIN, "", line)
    with pytest.raises(AttributionError) as caught:
        load_socket_records(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: line 3: ")
    assert expected in text
    assert "\n" not in text
    assert text.endswith("(1 of 2 lines are broken; --lenient uses the rest)")
    assert len(text) < len(path) + 300
    assert caught.value.exit_code == 2


def test_a_broken_line_among_good_ones_is_left_out_with_a_warning(tmp_path: Path) -> None:
    """And nothing of it is used: not even its address."""
    rows = [{**PLAIN, "local": f"10.0.0.5:{port}"} for port in range(1, 91)]
    bad: list[str | dict[str, Any]] = [
        "{",
        {**PLAIN, "local": "10.0.0.6:1", "user": 5},
        "[]",
        "\0\0\0",
        {},
        "x",
        "y",
        "z",
        "5",
    ]
    path = written(tmp_path, *rows[:45], "", *bad, *rows[45:])
    source = load_socket_records(path)
    assert len(source) == 90
    assert all(ask(source, f"10.0.0.5:{port}") is not None for port in range(1, 91))
    assert source.local_addresses() == (parse_address("10.0.0.5"),)
    [(code, text)] = source.warnings
    assert code == "lines_broken"
    assert text.startswith(f"{path}: 9 lines could not be used: line 47: is not JSON")
    assert "line 48: user must be a text or null; line 49: a socket record is a JSON object" in text
    assert text.endswith("; and 4 more")


@pytest.mark.parametrize(
    ("good", "lenient", "used"), [(9, False, True), (8, False, False), (8, True, True), (0, True, True)]
)
def test_more_than_a_tenth_broken_is_an_error_unless_lenient(
    tmp_path: Path, good: int, lenient: bool, used: bool
) -> None:
    rows = [{**PLAIN, "local": f"10.0.0.5:{port}"} for port in range(1, good + 1)]
    path = written(tmp_path, *rows, "hello")
    if used:
        source = load_socket_records(path, lenient=lenient)
        assert (len(source), [code for code, _ in source.warnings]) == (good, ["lines_broken"])
    else:
        with pytest.raises(
            AttributionError, match=rf"line {good + 1}: is not JSON .*\(1 of {good + 1} lines are broken;"
        ):
            load_socket_records(path, lenient=lenient)


def test_the_process_and_its_container_are_kept(tmp_path: Path) -> None:
    row = {**PLAIN, "pid": 7, "process_created": "2026-01-05T08:59:59.25Z", "container": "web-1"}
    other = {**row, "local": "10.0.0.5:2", "process_created": "2026-01-05T10:00:00+01:00"}
    source = loaded(
        tmp_path, row, other, {**row, "local": "10.0.0.5:3"}, {**PLAIN, "local": "10.0.0.5:4", "container": ""}
    )
    first, second, third, last = (ask(source, f"10.0.0.5:{port}") for port in (50123, 2, 3, 4))
    assert first is not None
    assert second is not None
    assert last is not None
    assert (first.subject.process_created, first.subject.container) == (T0 - 3 * SECOND // 4, "web-1")
    assert second.subject.process_created == T0
    assert third is first, "equal facts are one subject"
    assert (last.subject.process_created, last.subject.container) == (None, None)


def test_utf_16_from_powershell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "powershell.jsonl"
    path.write_bytes(("\ufeff" + CONTRACT + "\r\n").encode("utf-16-le"))
    assert ask(load_socket_records(str(path))) is not None


def test_bytes_that_are_no_utf_8_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "latin1.jsonl"
    path.write_bytes(json.dumps({**PLAIN, "user": "?"}).encode().replace(b"?", b"\xe4") + b"\n")
    with pytest.raises(AttributionError, match="line 1: is not JSON"):
        load_socket_records(str(path))


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
def test_a_torn_last_line_is_left_out_with_a_warning(tmp_path: Path, cut: int) -> None:
    """Its writer was interrupted; what came before is whole."""
    source = load_socket_records(written(tmp_path, PLAIN, CONTRACT[:cut], end=""))
    assert len(source) == 1
    [(code, text)] = source.warnings
    assert code == "attribution_truncated"
    assert text.endswith("the file ends inside a record; the 1 before it are used")


@pytest.mark.parametrize("line", ["hello", "[]", "{}", json.dumps({**PLAIN, "pid": "4"})])
def test_an_unfinished_last_line_that_is_not_torn_is_an_error(tmp_path: Path, line: str) -> None:
    """Only what an interrupted writer leaves is tolerated: the beginning of an object."""
    with pytest.raises(AttributionError, match="line 2: "):
        load_socket_records(written(tmp_path, PLAIN, line, end=""))


def test_a_whole_last_line_needs_no_newline(tmp_path: Path) -> None:
    source = load_socket_records(written(tmp_path, PLAIN, CONTRACT, end=""))
    assert (len(source), source.warnings) == (2, ())


def test_a_torn_line_that_is_not_the_last_is_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match="line 1: is not JSON"):
        loaded(tmp_path, CONTRACT[:40], PLAIN)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_compressed_records(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "sockets.bin"
    path.write_bytes(pack(CONTRACT.encode() + b"\n"))
    assert ask(load_socket_records(str(path))) is not None


def test_a_compressed_file_that_ends_early_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "sockets.jsonl.gz"
    path.write_bytes(gzip.compress(CONTRACT.encode() + b"\n")[:-9])
    source = load_socket_records(str(path))
    assert len(source) == 1
    assert [code for code, _ in source.warnings] == ["attribution_truncated"]


def test_no_records_is_a_host_without_sockets(tmp_path: Path) -> None:
    source = load_socket_records(written(tmp_path, end=""))
    assert (len(source), source.complete, source.facts) == (0, True, frozenset())
    assert ask(source) is None


def test_a_line_too_long_to_be_a_record_is_a_broken_one(tmp_path: Path) -> None:
    long = {**PLAIN, "user": "a" * (2 * MAX_LINE)}
    with pytest.raises(AttributionError, match="line 2: is longer than"):
        loaded(tmp_path, PLAIN, long)
    source = loaded(tmp_path, long, *[PLAIN] * 9)
    assert (len(source), [code for code, _ in source.warnings]) == (9, ["lines_broken"])


def test_two_processes_at_one_tuple_are_ambiguous(tmp_path: Path) -> None:
    """Semantics 8: an ambiguous owner meets no condition by default, so it is LOW."""
    rows = [{**PLAIN, "end": "2026-01-05T10:00:00Z", "image": rf"C:\{name}.exe"} for name in ("ann", "bob")]
    owner = ask(loaded(tmp_path, *rows), now=T0 + SECOND)
    assert owner is not None
    assert owner.subject.confidence.label == "low"


@pytest.mark.slow
def test_a_big_file_is_read_whole(tmp_path: Path) -> None:
    """Counts, over more texts than the caches hold: each of 150,000 records is found with its own process."""
    path = tmp_path / "big.jsonl"
    count = 150_000
    with open(path, "w", encoding="ascii") as file:
        for n in range(count):
            host, port = f"203.{n >> 16}.{n >> 8 & 255}.{n & 255}", 1024 + n % 60_000
            second = f"2026-01-05T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}"
            file.write(
                f'{{"start":"{second}.{n % 1000:03}Z","protocol":"tcp","local":"10.0.0.5:{port}",'
                f'"remote":"{host}:443","initiated":true,"pid":{n % 500},"image":"C:\\\\{n % 500}.exe"}}\n'
            )
    source = load_socket_records(str(path))
    assert len(source) == count
    right = 0
    for n in range(count):
        now = T0 - 9 * 3600 * SECOND + n % 86400 * SECOND + n % 1000 * 1_000_000
        remote = 0xCB000000 + n
        owner = source.find(6, 4, 0x0A000005, 1024 + n % 60_000, remote, 443, now, 2)
        right += owner is not None and owner.subject.pid == n % 500 and owner.subject.confidence.label == "high"
    assert right == count
