"""How a scenario file may spell its values, and what it is told where it may not."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.moment import SECOND
from agent.traffic import parameters as read
from agent.traffic.parameters import NO_SCOPE, Remote, Scope

SCOPE = Scope(hosts=("www.example.com",), processes=("tool", "system"))

READ = [
    ("duration-seconds", read.duration, "2.5", 2_500_000_000),
    ("duration-milliseconds", read.duration, "20ms", 20_000_000),
    ("duration-minutes", read.duration, "1.5m", 90 * SECOND),
    ("duration-hours", read.duration, "8h", 8 * 3600 * SECOND),
    ("before", read.signed_duration, "-1h", -3600 * SECOND),
    ("bytes", read.transfer, "1460", 1460),
    ("kilobytes", read.transfer, "1.5kB", 1500),
    ("whole-with-underscore", read.whole(0, 10_000), "1_000", 1000),
    ("percent", read.percent, "20%", 20),
    ("percent-without-sign", read.percent, "20", 20),
    ("switch", read.switch, "Off", False),
    ("address", read.address, "2001:DB8::5", parse_address("2001:db8::5")),
    ("host-name", read.host_name, "WWW.Example.com.", "www.example.com"),
    ("remote-name", read.remote, "www.example.com", Remote("www.example.com", None)),
    ("remote-address", read.remote, "10.0.0.1", Remote(None, parse_address("10.0.0.1"))),
    ("process", read.process, "tool", "tool"),
    ("nobody", read.process, "none", "none"),
    ("ports", read.ports, "22, 80-82", (22, 80, 81, 82)),
    ("ports-as-list", read.ports, ["22", "80-81"], (22, 80, 81)),
    ("targets-range", read.targets, "10.0.0.1-10.0.0.3", tuple(parse_address(f"10.0.0.{n}") for n in (1, 2, 3))),
    ("targets-prefix", read.targets, "10.0.0.0/30", tuple(parse_address(f"10.0.0.{n}") for n in (1, 2))),
    ("targets-IPv6", read.targets, "2001:db8::1", (parse_address("2001:db8::1"),)),
    ("prefix", read.prefix, "10.20.0.77/24", (4, 0x0A140000, 0x0A1400FF)),
]


@pytest.mark.parametrize(("reader", "written", "value"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_value_is_read(reader: Any, written: Any, value: Any) -> None:
    assert reader(written, SCOPE) == value


REFUSED = [
    ("nothing", read.text, None, "is not a text"),
    ("blank", read.text, "  ", "is not a text"),
    ("unit", read.duration, "3 days", "us, ms, s, m, h"),
    ("endless", read.duration, "9999h", "more than 366 days"),
    ("negative", read.duration, "-1", "not a number"),
    ("too-big", read.datagram, "70kB", "more than 65000 bytes"),
    ("not-whole", read.whole(1, 5), "2.5", "whole number from 1 to 5"),
    ("too-many", read.whole(1, 5), "6", "whole number from 1 to 5"),
    ("huge-number", read.whole(1, 5), "9" * 5000, "whole number from 1 to 5"),
    ("percent", read.percent, "101%", "0% to 100%"),
    ("switch", read.switch, "maybe", "neither on nor off"),
    ("word", read.word("refused", "silent"), "refuse", "did you mean refused?"),
    ("address", read.address, "10.0.0.300", "not an IPv4 or IPv6 address"),
    ("host-name", read.host_name, "a b", "not a host name"),
    ("unknown-host", read.remote, "www.exmple.com", "did you mean www.example.com?"),
    ("unknown-process", read.process, "tol", "did you mean tool?"),
    ("port", read.port, "0", "from 1 to 65535"),
    ("ports-backwards", read.ports, "90-80", "lower port first"),
    ("targets-backwards", read.targets, "10.0.0.9-10.0.0.1", "lower address first"),
    ("targets-mixed", read.targets, "10.0.0.1-2001:db8::1", "lower address first"),
    ("targets-too-many", read.targets, "10.0.0.0/8", "at most 4096"),
    ("no-targets", read.targets, [], "empty list"),
    ("prefix", read.prefix, "10.0.0.0/33", "length from 0 to 32"),
    ("mapping-for-text", read.text, {}, "a mapping is not a text"),
]


@pytest.mark.parametrize(
    ("reader", "written", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_wrong_value_is_refused_in_words(reader: Any, written: Any, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        reader(written, SCOPE)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_scope_without_names_knows_only_nobody() -> None:
    assert read.process("none", NO_SCOPE) == "none"
