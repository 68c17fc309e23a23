"""Which process a packet means: sections, pids used again, blocks that come late, and who is believed more."""

from __future__ import annotations

import pytest

from agent.attribution.carried.carrier import Carrier, speaks
from agent.attribution.carried.facts import Fact
from agent.attribution.carried.processes import COARSE_NS, MAX_OF_ONE_PID
from agent.attribution.evidence import Claim, Rank
from agent.model.vocabulary import Confidence
from tests.attribution.carried.crafted import (
    APPLE,
    CUSTOM,
    HONE_CONNECTION,
    HONE_PROCESS,
    apple_body,
    custom,
    entry,
    hone_body,
    section_body,
    start,
    thread,
    word,
)
from tests.attribution.carried.test_pktap import first
from tests.capture.crafted import option

NOW = 1_757_500_000_000_000_000
US = 1000


class Capture:
    """A carrier that is told what a file says, in order."""

    def __init__(self, application: str = "", order: str = "<") -> None:
        self.carrier = Carrier()
        self.section(application, order)

    def section(self, application: str = "", order: str = "<") -> None:
        self.big_endian = order == ">"
        self.carrier.section(section_body(application, order), big_endian=self.big_endian)

    def pib(self, pid: int, *options: tuple[int, bytes]) -> None:
        order = ">" if self.big_endian else "<"
        self.carrier.block(CUSTOM, custom(entry(pid, *options), order), big_endian=self.big_endian)

    def named(self, pid: int, name: bytes, started: int | None = None) -> None:
        self.pib(pid, (3, b"/bin/" + name), *([] if started is None else [start(started)]))

    def apple(self, pid: int, name: bytes) -> None:
        self.carrier.block(APPLE, apple_body(pid, (2, name)), big_endian=self.big_endian)

    def packet(self, options: bytes, time_ns: int = NOW, header: bytes | None = None) -> Fact | None:
        return self.carrier.fact(options, big_endian=self.big_endian, time_ns=time_ns, header=header)

    def image(self, pid: int, time_ns: int = NOW) -> str | None:
        fact = self.packet(thread(pid, order=">" if self.big_endian else "<"), time_ns)
        return None if fact is None else fact.claim.image


def test_a_packet_without_a_word_of_processes_has_no_owner() -> None:
    capture = Capture()
    capture.named(5, b"a")
    for options in (b"", thread(0), word(2, 1), option(1, b"svc BE, in"), option(1, b"PID: 5\nCmd: /bin/a")):
        assert capture.packet(options) is None


def test_equal_options_give_the_same_object() -> None:
    capture = Capture()
    capture.named(5, b"a")
    assert capture.packet(thread(5)) is capture.packet(thread(5))
    assert capture.packet(thread(5, 1)) is capture.packet(thread(5, 2))


def test_a_process_information_block_names_the_pid() -> None:
    capture = Capture(order=">")
    capture.pib(1234, (2, b"curl"), (3, b"/usr/bin/curl"), (7, b"alice"), start(NOW - 5))
    fact = capture.packet(thread(1234, 9, ">"))
    assert fact is not None
    assert fact.claim == Claim(pid=1234, image="/usr/bin/curl", user="alice", created=NOW - 5)
    assert (fact.source, fact.rank, fact.confidence) == ("pib", Rank.CARRIED, Confidence.HIGH)
    assert capture.carrier.information_blocks


@pytest.mark.parametrize(
    ("name", "image"), [(b"curl", "curl"), (b"/usr/bin/ssh", "ssh"), (b"C:\\Windows\\x", "x"), (b"/", None)]
)
def test_a_name_is_never_a_path(name: bytes, image: str | None) -> None:
    capture = Capture()
    capture.pib(5, (2, name))
    assert capture.image(5) == image


def test_a_bare_pid_is_believed_less() -> None:
    fact = Capture().packet(thread(5))
    assert fact is not None
    assert (fact.source, fact.claim, fact.rank, fact.confidence) == (
        "option8", Claim(pid=5), Rank.PID, Confidence.MEDIUM
    )  # fmt: skip


def test_wiresharks_own_cases_of_a_pid_used_again() -> None:
    """test/captures/_gen_process_info_blocks.py, process_info_pid_reuse: all blocks at the head of the file."""
    capture = Capture()
    capture.named(500, b"first", NOW - 10 * US)
    capture.named(500, b"second", NOW + 20 * US)
    capture.named(600, b"old")
    capture.named(600, b"new")
    assert capture.image(500, NOW + 5 * US) == "/bin/first"
    assert capture.image(500, NOW + 25 * US) == "/bin/second"
    assert capture.image(500, NOW + 5 * US) == "/bin/first", "what is remembered holds for its times only"
    # Wireshark shows the earliest here; within two seconds it may be that.
    assert capture.image(500, NOW - 100 * US) == "/bin/first"
    assert capture.image(600, NOW + 1 * US) == "/bin/new"
    assert capture.image(700, NOW + 2 * US) is None


def test_the_latest_block_before_the_packet_counts() -> None:
    capture = Capture()
    capture.named(5, b"a")
    assert capture.image(5) == "/bin/a"
    capture.named(5, b"b")
    assert capture.image(5) == "/bin/b"


def test_in_our_own_files_the_place_counts_more_than_a_coarse_start() -> None:
    for application, expected in (("isolation-agent", "/bin/b"), ("other", "/bin/a")):
        capture = Capture(application)
        capture.named(5, b"a", NOW - 10)
        capture.named(5, b"b", NOW + COARSE_NS)
        assert capture.image(5) == expected


def test_a_block_behind_the_packet_explains_it() -> None:
    capture = Capture()
    fact = capture.packet(thread(5))
    assert fact is not None
    assert fact.claim.image is None
    capture.named(5, b"a", NOW - 1)
    capture.named(5, b"b")
    assert (fact.claim.image, fact.source, fact.rank) == ("/bin/a", "pib", Rank.CARRIED), "the first one behind"
    assert capture.image(5) == "/bin/b"


@pytest.mark.parametrize("behind", [False, True])
def test_a_process_that_started_later_is_no_answer(behind: bool) -> None:
    capture = Capture()
    late = NOW + COARSE_NS + 1
    if behind:
        fact = capture.packet(thread(5))
        capture.named(5, b"a", late)
    else:
        capture.named(5, b"a", late)
        fact = capture.packet(thread(5))
        assert capture.image(5, late) == "/bin/a"
        capture.section()
        assert capture.carrier.contradicted == 1
    assert fact is not None
    assert (fact.claim, fact.rank) == (Claim(pid=5), Rank.PID)


def test_a_section_begins_anew() -> None:
    capture = Capture()
    capture.named(5, b"a")
    capture.apple(6, b"b")
    waiting = capture.packet(thread(7))
    capture.section(order=">")
    assert capture.image(5) is None
    assert capture.packet(word(0x8001, 0, ">")) is None
    capture.named(7, b"other")
    assert waiting is not None
    assert waiting.claim.image is None


def test_lost_blocks_end_the_knowledge() -> None:
    capture = Capture("ptcpdump")
    capture.named(5, b"a")
    capture.carrier.lost()
    assert capture.image(5) is None
    assert capture.packet(option(1, b"PID: 5\nCmd: /bin/a")) is None


def test_services_and_containers_are_believed_of_ourselves_only() -> None:
    options = (3, b"/bin/a"), (1, b"services=a.service,b%2Cc"), (1, b"container=web"), (1, b"services=z")
    for application, services, container in (
        ("isolation-agent", ("a.service", "b,c"), "web"),
        ("isolation-agent 1.2", ("a.service", "b,c"), "web"),
        ("isolation-agents", None, None),
        ("Wireshark", None, None),
    ):
        capture = Capture(application)
        capture.pib(5, *options)
        fact = capture.packet(thread(5))
        assert fact is not None
        assert (fact.claim.services, fact.claim.container) == (services, container)


def test_apples_numbers_are_places_in_the_section() -> None:
    capture = Capture()
    capture.apple(501, b"mDNSResponder\0")
    capture.carrier.block(APPLE, b"", big_endian=False)  # unreadable, and a number all the same
    capture.apple(1, b"launchd")
    fact = capture.packet(word(0x8001, 2) + word(0x8003, 0))
    assert fact is not None
    assert (fact.claim, fact.source) == (Claim(pid=1, image="launchd"), "apple")
    assert fact.effective == Claim(pid=501, image="mDNSResponder"), "kept, but it owns no socket"
    for options in (word(0x8001, 1), word(0x8001, 3), word(0x8003, 0)):
        assert capture.packet(options) is None


def test_apples_kernel_owns_what_it_opens_for_a_process_only_if_that_is_unknown() -> None:
    capture = Capture()
    capture.apple(0, b"kernel_task")
    capture.apple(1505, b"network_test")
    capture.apple(0, b"")
    for options, expected in (
        (word(0x8001, 0) + word(0x8003, 1), Claim(pid=1505, image="network_test")),
        (word(0x8001, 0), Claim(pid=0, image="kernel_task")),
        (word(0x8001, 2), None),
    ):
        fact = capture.packet(options)
        assert (None if fact is None else fact.claim) == expected


def test_apples_process_that_is_named_later_is_not_guessed() -> None:
    capture = Capture()
    assert capture.packet(word(0x8001, 0)) is None
    capture.apple(5, b"a")
    assert capture.packet(word(0x8001, 0)) is not None


def test_ptcpdump_is_believed_in_its_own_sections() -> None:
    comment = option(1, b"PID: 812\nCmd: /usr/bin/curl\nArgs: curl x")
    assert Capture("tcpdump").packet(comment) is None
    fact = Capture("ptcpdump 0.30.0").packet(comment)
    assert fact is not None
    assert (fact.claim.image, fact.source, fact.rank) == ("/usr/bin/curl", "ptcpdump", Rank.CARRIED)


@pytest.mark.parametrize("options", [option(1, b"PID=4 TID=8"), thread(4, 8) + option(1, b"PID=4 TID=8")])
def test_etl2pcapng_is_believed_little(options: bytes) -> None:
    """Its pid is of whoever ran when the packet was logged, in the option as in the comment."""
    fact = Capture().packet(options)
    assert fact is not None
    assert (fact.claim, fact.source, fact.rank, fact.confidence) == (
        Claim(pid=4), "etl2pcapng", Rank.PID, Confidence.LOW
    )  # fmt: skip


def test_hone_by_pid_and_by_connection() -> None:
    capture = Capture()
    capture.carrier.block(HONE_PROCESS, hone_body(812, NOW // 1000, (3, b"/bin/bash")), big_endian=False)
    capture.carrier.block(HONE_CONNECTION, b"\7\0\0\0" + (812).to_bytes(4, "little") + bytes(8), big_endian=False)
    capture.carrier.block(HONE_PROCESS, hone_body(812, NOW // 1000, (2, b"\xff" * 4)), big_endian=False)
    for options in (word(258, 812), word(257, 7)):
        fact = capture.packet(options)
        assert fact is not None
        assert (fact.claim.image, fact.source, fact.rank) == ("/bin/bash", "hone", Rank.CARRIED)
    bare = capture.packet(word(258, 9))
    assert bare is not None
    assert (bare.claim, bare.source, bare.rank) == (Claim(pid=9), "hone", Rank.PID)
    assert capture.packet(word(257, 8)) is None


def test_a_tapped_frame_names_its_process() -> None:
    fact = Capture().packet(b"", header=first(name=b"curl", epid=9, ename=b"agent"))
    assert fact is not None
    assert (fact.claim, fact.effective) == (Claim(pid=512, image="curl"), Claim(pid=9, image="agent"))
    assert (fact.source, fact.rank) == ("pktap", Rank.CARRIED)
    unnamed = Capture().packet(b"", header=first())
    assert unnamed is not None
    assert (unnamed.claim, unnamed.rank) == (Claim(pid=512), Rank.PID)


def test_who_names_a_process_is_believed_before_who_gives_a_pid() -> None:
    capture = Capture("ptcpdump")
    comment = option(1, b"PID: 5\nCmd: /bin/from-comment")
    fact = capture.packet(thread(5) + comment)
    assert fact is not None
    assert fact.source == "ptcpdump"
    capture.named(5, b"a")
    fact = capture.packet(thread(5) + comment)
    assert fact is not None
    assert fact.source == "pib"


def test_blocks_of_one_pid_are_bounded() -> None:
    capture = Capture()
    for number in range(MAX_OF_ONE_PID + 3):
        capture.named(5, b"p%d" % number, NOW + number)
    assert capture.image(5, NOW + 100) == f"/bin/p{MAX_OF_ONE_PID + 2}"
    capture.section()
    assert capture.carrier.dropped == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (thread(5), True),
        (thread(0), False),
        (word(0x8001, 0), True),
        (word(0x8003, 0), False),
        (word(258, 1), True),
        (option(1, b"PID: 5\nCmd: /bin/a"), True),
        (option(1, b"PID=5"), True),
        (option(1, b"svc BE, in"), False),
        (word(2, 1), False),
    ],
)
def test_what_speaks_of_processes(options: bytes, said: bool) -> None:
    assert speaks(options, big_endian=False) is said
