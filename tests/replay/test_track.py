"""One judgement of a run: when the isolation begins and ends, which packets count, what the packet outputs hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.capture.reader import open_capture
from agent.model.errors import UsageError
from agent.model.vocabulary import Mode
from agent.replay.options import When
from tests.support import frames as f
from tests.support.captures import SECOND, START_SECONDS, Outcome, after, at, pcap, pcapng, replay, rules_file

US, PEER, ELSEWHERE = "10.0.0.5", "203.0.113.9", "198.51.100.7"


def syn(number: int = 0, remote: str = PEER) -> bytes:
    return f.tcp_frame(f"{US}:{50000 + number}", f"{remote}:443", flags=f.SYN)


def each_second(tmp_path: Path, seconds: list[float]) -> Path:
    """One new flow at each of these times."""
    return pcap(tmp_path / "some.pcap", [(second, syn(number)) for number, second in enumerate(seconds)])


def verdicts(outcome: Outcome) -> list[str]:
    """Of the flows in the order in which they began: + allowed, - denied."""
    flows = sorted(outcome.flows, key=lambda record: record["flow_id"])
    return ["+" if record["verdict"] == "allow" else "-" for record in flows]


# Control events ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "-----", id="from-the-start"),
        pytest.param({"mode": Mode.NONE}, "+++++", id="never"),
        pytest.param({"isolate_at": after(2)}, "++---", id="isolate"),
        pytest.param({"isolate_at": after(1.5)}, "++---", id="between-packets"),
        pytest.param({"isolate_at": after(0)}, "-----", id="at-once"),
        pytest.param({"isolate_at": after(5)}, "+++++", id="after-the-end"),
        pytest.param({"isolate_at": at(13)}, "+++--", id="absolute"),
        pytest.param({"isolate_at": at(-100)}, "-----", id="before-the-capture"),
        pytest.param({"release_at": after(3)}, "---++", id="release"),
        pytest.param({"isolate_at": after(1), "release_at": after(3)}, "+--++", id="both"),
        pytest.param({"isolate_at": after(3), "release_at": after(1)}, "+++--", id="release-first-is-no-news"),
        pytest.param({"isolate_at": after(2), "release_at": after(2)}, "+++++", id="at-the-same-moment"),
        pytest.param({"isolate_at": after(1.2), "release_at": after(1.8)}, "+++++", id="between-two-packets"),
        pytest.param({"isolate_at": When(ns=-(10**20), absolute=True)}, "-----", id="before-every-clock"),
        pytest.param({"isolate_at": When(ns=10**21, absolute=True)}, "+++++", id="behind-every-clock"),
        pytest.param({"release_at": When(ns=10**21, absolute=True)}, "-----", id="release-behind-every-clock"),
    ],
)
def test_the_isolation_holds_from_the_first_packet_at_or_after_its_moment(
    tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    path = each_second(tmp_path, [10, 11, 12, 13, 14])
    assert "".join(verdicts(replay(tmp_path, path, **options))) == expected


def test_a_control_event_fires_once_and_time_going_back_does_not_undo_it(tmp_path: Path) -> None:
    path = each_second(tmp_path, [0, 5, 1, 2, 9, 3])
    outcome = replay(tmp_path, path, isolate_at=after(4), release_at=after(8), events="all")
    assert "".join(verdicts(outcome)) == "+---++"
    isolations = [record for record in outcome.records if record["event_type"] == "isolation"]
    assert [(record["action"], record["status"]) for record in isolations] == [
        ("isolate", "succeeded"),
        ("release", "succeeded"),
    ]
    assert isolations[0]["timestamp"] == "2026-01-05T09:00:04.000000Z"


def test_a_release_of_a_free_device_succeeds_and_changes_nothing(tmp_path: Path) -> None:
    path = each_second(tmp_path, [0, 1, 2])
    outcome = replay(tmp_path, path, isolate_at=after(5), release_at=after(1), events="all")
    [record] = [record for record in outcome.records if record["event_type"] == "isolation"]
    assert (record["action"], record["status"]) == ("release", "unchanged")


def test_moments_need_an_isolation(tmp_path: Path) -> None:
    path = each_second(tmp_path, [0])
    with pytest.raises(UsageError, match="--isolate-at and --release-at need --mode"):
        replay(tmp_path, path, mode=Mode.NONE, isolate_at=after(1))


def test_seconds_count_from_the_first_packet_of_the_first_capture(tmp_path: Path) -> None:
    second = pcap(tmp_path / "second.pcap", [(0, syn(8)), (100, syn(9))])
    first = each_second(tmp_path, [50, 51])
    assert "".join(verdicts(replay(tmp_path, first, second, isolate_at=after(10)))) == "+++-"


def test_seconds_count_from_the_first_packet_that_has_a_time(tmp_path: Path) -> None:
    packets = [(None, syn(0), 0), (10.0, syn(1), 0), (11.0, syn(2), 0), (None, syn(3), 0), (12.0, syn(4), 0)]
    path = pcapng(tmp_path / "some.pcapng", packets)
    assert "".join(verdicts(replay(tmp_path, path, isolate_at=after(1)))) == "++---"


def test_packets_without_a_time_take_the_last_one_seen(tmp_path: Path) -> None:
    packets = [(5.0, syn(0), 0), (None, syn(1), 0), (7.0, syn(2), 0), (None, syn(3), 0)]
    path = pcapng(tmp_path / "some.pcapng", packets)
    outcome = replay(tmp_path, path)
    assert [record["first_seen"][17:19] for record in outcome.flows] == ["05", "05", "07", "07"]
    assert "".join(verdicts(replay(tmp_path, path, isolate_at=after(2)))) == "++--"
    assert len(replay(tmp_path, path, time_to=after(1)).flows) == 2
    assert len(replay(tmp_path, path, time_from=after(1)).flows) == 2


def test_they_take_it_from_the_capture_before_too(tmp_path: Path) -> None:
    first = each_second(tmp_path, [5])
    second = pcapng(tmp_path / "second.pcapng", [(None, syn(8), 0), (9.0, syn(9), 0)])
    assert [record["first_seen"][17:19] for record in replay(tmp_path, first, second).flows] == ["05", "05", "09"]


# Which packets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"time_from": after(2)}, [12, 13, 14]),
        ({"time_to": after(2)}, [10, 11, 12]),
        ({"time_from": after(1), "time_to": after(3)}, [11, 12, 13]),
        ({"time_from": at(11.5), "time_to": at(12.5)}, [12]),
        ({"time_from": after(9)}, []),
        ({"time_from": When(ns=10**21, absolute=True)}, []),
        ({"time_to": When(ns=10**21, absolute=True)}, [10, 11, 12, 13, 14]),
        ({"time_to": When(ns=-1, absolute=True)}, []),
        ({"time_from": When(ns=-1, absolute=True)}, [10, 11, 12, 13, 14]),
        ({"limit": 3}, [10, 11, 12]),
        ({"limit": 0}, []),
        ({"limit": 99}, [10, 11, 12, 13, 14]),
        ({"limit": 2, "time_from": after(2)}, [12, 13]),
    ],
)
def test_only_chosen_packets_are_judged_and_counted(tmp_path: Path, options: dict[str, Any], kept: list[int]) -> None:
    path = each_second(tmp_path, [10, 11, 12, 13, 14])
    outcome = replay(tmp_path, path, **options)
    assert [int(record["first_seen"][17:19]) for record in outcome.flows] == kept
    capture = outcome.summary["captures"][0]
    assert outcome.summary["packets"]["total"] == capture["packets"] == len(kept)
    assert outcome.summary["bytes"]["total"] == capture["bytes"]
    assert capture["first"] == (outcome.flows[0]["first_seen"] if kept else None)
    assert capture["last"] == (outcome.flows[-1]["first_seen"] if kept else None)


def test_an_isolation_before_the_first_chosen_packet_holds(tmp_path: Path) -> None:
    path = each_second(tmp_path, [10, 11, 12, 13, 14])
    assert "".join(verdicts(replay(tmp_path, path, isolate_at=after(1), time_from=after(3)))) == "--"


def test_first_and_last_are_the_earliest_and_the_latest(tmp_path: Path) -> None:
    capture = replay(tmp_path, each_second(tmp_path, [12, 10, 14, 11])).summary["captures"][0]
    assert (capture["first"][17:19], capture["last"][17:19]) == ("10", "14")


# The packets themselves -------------------------------------------------------------------------------------------


def written(path: Path) -> list[tuple[int, bytes, int, str, int]]:
    """(time, frame, original length, comment, direction flag) of each packet."""
    packets = []
    with open_capture(str(path)) as reader:
        while (batch := reader.next_batch()) is not None:
            for number in range(batch.count):
                options = bytes(batch.options(number))
                size = int.from_bytes(options[2:4], "little")
                assert options[:2] == b"\1\0"
                text = options[4 : 4 + size].decode()
                packets.append(
                    (
                        batch.time(number),
                        bytes(batch.frame(number)),
                        batch.original_length(number),
                        text,
                        batch.direction_flag(number),
                    )
                )
    return packets


def test_each_packet_goes_to_the_file_of_its_verdict_with_its_reason(tmp_path: Path) -> None:
    rules = rules_file(tmp_path / "rules.json", {"name": "web tools", "remote_ips": [PEER]})
    frames = [
        syn(0, PEER),
        syn(1, ELSEWHERE),
        f.ethernet(b"x" * 46, f.ARP),
        f.tcp_frame("10.0.0.6:1", f"{PEER}:2", flags=f.SYN),
        f.ethernet(f.ipv4(US, PEER, f.tcp(1, 2)[:19])),
        f.icmp_frame("198.51.100.1", US, f.icmp(3, 1, 0, f.ip(US, PEER, f.tcp(50000, 443)))),
        f.udp_frame("127.0.0.1:1", "127.0.0.1:2"),
    ]
    packets = [(float(second), frame, 2 if second == 1 else 0) for second, frame in enumerate(frames)]
    outcome = replay(
        tmp_path,
        pcapng(tmp_path / "some.pcapng", packets),
        mode=Mode.SELECTIVE,
        rules=rules,
        allowed=tmp_path / "allowed.pcapng",
        denied=tmp_path / "denied.pcapng",
    )
    allowed, denied = written(tmp_path / "allowed.pcapng"), written(tmp_path / "denied.pcapng")
    start = START_SECONDS * SECOND
    assert [(time - start) // SECOND for time, *_ in allowed] == [0, 5, 6]
    assert [frame for _, frame, *_ in allowed] == [frames[0], frames[5], frames[6]]
    assert [text for *_, text, _ in allowed] == [
        'verdict=allow reason=exclusion flow=1 rules=["web tools"]',
        "verdict=allow reason=related rules=[]",
        "verdict=allow reason=loopback flow=3 rules=[]",
    ]
    assert [(frame, text, flag) for _, frame, _, text, flag in denied] == [
        (frames[1], "verdict=deny reason=no_matching_exclusion flow=2 rules=[]", 2),
        (frames[4], "verdict=deny reason=undecodable rules=[]", 0),
    ]
    packets_of = outcome.summary["packets"]
    assert (packets_of["allowed"], packets_of["denied"], packets_of["ignored"], packets_of["link"]) == (3, 2, 1, 1)


def test_link_frames_are_in_the_file_of_the_denied_where_they_were(tmp_path: Path) -> None:
    path = pcap(tmp_path / "some.pcap", [(0, f.ethernet(b"x" * 46, f.ARP))])
    replay(tmp_path, path, denied=tmp_path / "denied.pcapng", settings={"link.other": "deny"})
    [(*_, text, _)] = written(tmp_path / "denied.pcapng")
    assert text == "verdict=deny reason=link rules=[]"
    replay(tmp_path, path, denied=tmp_path / "denied.pcapng", allowed=tmp_path / "allowed.pcapng")
    assert written(tmp_path / "denied.pcapng") == written(tmp_path / "allowed.pcapng") == []


def test_packets_outside_the_chosen_time_are_in_neither_file(tmp_path: Path) -> None:
    path = each_second(tmp_path, [10, 11, 12])
    replay(tmp_path, path, time_from=after(1), time_to=after(1), denied=tmp_path / "denied.pcapng")
    assert [frame for _, frame, *_ in written(tmp_path / "denied.pcapng")] == [syn(1)]


def test_a_change_of_policy_inside_a_batch_splits_its_packets(tmp_path: Path) -> None:
    packets = [
        (float(number), syn(0) if number == 0 else f.tcp_frame(f"{US}:50000", f"{PEER}:443")) for number in range(4)
    ]
    path = pcap(tmp_path / "some.pcap", packets)
    replay(
        tmp_path,
        path,
        isolate_at=after(2),
        allowed=tmp_path / "allowed.pcapng",
        denied=tmp_path / "denied.pcapng",
    )
    allowed, denied = written(tmp_path / "allowed.pcapng"), written(tmp_path / "denied.pcapng")
    assert [text.split()[1:3] for *_, text, _ in allowed] == [["reason=not_isolated", "flow=1"]] * 2
    assert [text.split()[1:3] for *_, text, _ in denied] == [["reason=full_isolation", "flow=1"]] * 2


def test_a_packet_cut_by_the_capture_keeps_its_length_on_the_wire(tmp_path: Path) -> None:
    import struct

    frame = f.tcp_frame(f"{US}:50000", f"{PEER}:443", b"x" * 1000, flags=f.SYN)
    head = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 60, 1)
    path = tmp_path / "short.pcap"
    path.write_bytes(head + struct.pack("<IIII", START_SECONDS, 0, 60, len(frame)) + frame[:60])
    outcome = replay(tmp_path, path, denied=tmp_path / "denied.pcapng")
    [(_, kept, original, *_)] = written(tmp_path / "denied.pcapng")
    assert (kept, original) == (frame[:60], len(frame))
    assert outcome.summary["bytes"]["denied"] == outcome.flows[0]["bytes"]["original"] == len(frame)
