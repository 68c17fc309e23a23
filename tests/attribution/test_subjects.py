"""Facts of a process as rules compare them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.attribution.subjects import SubjectMaker
from agent.model.device import Family
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence

DRIVES = {r"\Device\HarddiskVolume3": "C:"}
TEAMS = r"C:\Program Files\WindowsApps\MSTeams_24004.1307.2669.7070_x64__8wekyb3d8bbwe\ms-teams.exe"


def made(
    image: Any = None,
    services: Any = None,
    package: Any = ...,
    pid: Any = None,
    user: Any = None,
    *,
    family: Family = Family.WINDOWS,
) -> Subject:
    return SubjectMaker("test", family=family, drives=DRIVES).subject(image, services, package, pid, user)


@pytest.mark.parametrize(
    ("family", "image", "shown", "canonical"),
    [
        pytest.param(Family.WINDOWS, r"C:\Tools\a.exe", r"C:\Tools\a.exe", r"C:\TOOLS\A.EXE", id="drive"),
        pytest.param(
            Family.WINDOWS, r"\Device\HarddiskVolume3\Tools\a.exe", r"C:\Tools\a.exe", r"C:\TOOLS\A.EXE", id="nt-device"
        ),
        pytest.param(
            Family.WINDOWS,
            r"\device\harddiskvolume9\a.exe",
            r"\device\harddiskvolume9\a.exe",
            None,
            id="unknown-nt-device",
        ),
        pytest.param(Family.WINDOWS, r"\\?\c:\x\..\a.exe", r"\\?\c:\x\..\a.exe", r"C:\A.EXE", id="prefixed"),
        pytest.param(Family.WINDOWS, "System", "System", None, id="kernel"),
        pytest.param(Family.WINDOWS, "a.exe", "a.exe", None, id="bare-name"),
        pytest.param(Family.WINDOWS, r"C:\a.exe:hidden", r"C:\a.exe:hidden", None, id="alternate-data-stream"),
        pytest.param(Family.WINDOWS, "/usr/bin/curl", "/usr/bin/curl", None, id="posix-path-on-windows"),
        pytest.param(Family.WINDOWS, None, None, None, id="unknown"),
        pytest.param(Family.WINDOWS, "", None, None, id="empty"),
        pytest.param(Family.LINUX, "/usr//bin/./Curl", "/usr//bin/./Curl", "/usr/bin/Curl", id="linux"),
        pytest.param(Family.LINUX, r"C:\Tools\a.exe", r"C:\Tools\a.exe", None, id="windows-path-on-linux"),
        pytest.param(Family.MAC, "/Applications/A.app/A", "/Applications/A.app/A", "/Applications/A.app/A", id="mac"),
        pytest.param(Family.LINUX, r"\Device\HarddiskVolume3\a", r"\Device\HarddiskVolume3\a", None, id="no-drives"),
    ],
)
def test_an_image_is_shown_as_given_and_compared_canonically(
    family: Family, image: str | None, shown: str | None, canonical: str | None
) -> None:
    subject = made(image, family=family)
    assert (subject.image, subject.canonical_image) == (shown, canonical)


@pytest.mark.parametrize(
    ("family", "services", "expected"),
    [
        pytest.param(Family.WINDOWS, None, None, id="unknown"),
        pytest.param(Family.WINDOWS, [], (), id="known-to-be-none"),
        pytest.param(Family.WINDOWS, ["TermService", "Dnscache"], ("termservice", "dnscache"), id="windows-lower-case"),
        pytest.param(Family.LINUX, ["ssh.service", "My.service"], ("ssh.service", "My.service"), id="units-keep-case"),
    ],
)
def test_services(family: Family, services: list[str] | None, expected: tuple[str, ...] | None) -> None:
    assert made(services=services, family=family).services == expected


@pytest.mark.parametrize(
    ("image", "package", "expected"),
    [
        pytest.param(TEAMS, ..., ("MSTeams_8wekyb3d8bbwe", True), id="derived-from-the-folder"),
        pytest.param(TEAMS.upper(), ..., ("MSTEAMS_8WEKYB3D8BBWE", True), id="derived-as-written"),
        pytest.param(
            TEAMS.replace("C:", r"\Device\HarddiskVolume3"), ..., ("MSTeams_8wekyb3d8bbwe", True), id="nt-device"
        ),
        pytest.param(TEAMS, None, (None, True), id="the-record-wins-over-the-folder"),
        pytest.param(TEAMS, "Other_8wekyb3d8bbwe", ("Other_8wekyb3d8bbwe", True), id="the-record-names-another"),
        pytest.param(r"C:\Tools\a.exe", ..., (None, False), id="absent-is-unknown"),
        pytest.param(r"C:\Tools\a.exe", None, (None, True), id="null-is-not-packaged"),
        pytest.param(None, ..., (None, False), id="nothing-known"),
        pytest.param(
            TEAMS.replace("Program Files", "Users\\Public"), ..., (None, False), id="anyone-may-make-such-a-folder"
        ),
        pytest.param(TEAMS.replace("C:", "D:"), ..., (None, False), id="on-another-drive"),
        pytest.param(TEAMS.replace("MSTeams_", "MSTeams"), ..., (None, False), id="a-part-is-missing"),
        pytest.param(TEAMS.replace("8wekyb3d8bbwe", "8wekyb3d8bbwi"), ..., (None, False), id="not-in-the-base-32"),
        pytest.param(TEAMS.replace("8wekyb3d8bbwe", "8wekyb3d8bbw"), ..., (None, False), id="publisher-too-short"),
        pytest.param(TEAMS.partition("MSTeams")[0] + "a.exe", ..., (None, False), id="directly-in-the-root"),
    ],
)
def test_package_family_name(image: str | None, package: Any, expected: tuple[str | None, bool]) -> None:
    subject = made(image, package=package)
    assert (subject.package_family_name, subject.package_known) == expected


def test_no_package_is_derived_off_windows() -> None:
    assert not made("/Program Files/WindowsApps/MSTeams_1.0_x64__8wekyb3d8bbwe/a", family=Family.LINUX).package_known


def test_packages_lie_where_the_device_keeps_its_programs() -> None:
    maker = SubjectMaker("test", packages_root=r"E:\Programs\WindowsApps")
    moved = TEAMS.replace(r"C:\Program Files", r"e:\programs")
    assert maker.subject(moved, None, ..., None, None).package_family_name == "MSTeams_8wekyb3d8bbwe"
    assert not maker.subject(TEAMS, None, ..., None, None).package_known


def test_equal_facts_are_one_object() -> None:
    maker = SubjectMaker("test", confidence=Confidence.MEDIUM)
    one = maker.subject(TEAMS, ["a"], ..., 7, "ann")
    assert one == Subject(
        image=TEAMS,
        canonical_image=TEAMS.upper(),
        services=("a",),
        package_family_name="MSTeams_8wekyb3d8bbwe",
        package_known=True,
        pid=7,
        user="ann",
        source="test",
        confidence=Confidence.MEDIUM,
    )
    assert maker.subject(TEAMS, ["a"], ..., 7, "ann") is one
    assert maker.subject(TEAMS, ["a"], ..., 8, "ann") is not one


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([(None, None, ...)], set(), id="nothing"),
        pytest.param([("System", None, ...)], set(), id="an-image-that-cannot-be-compared"),
        pytest.param([(r"C:\a.exe", None, ...)], {"image"}, id="image"),
        pytest.param([(None, [], ...)], {"services"}, id="known-to-host-no-service"),
        pytest.param([(None, None, None)], {"package"}, id="known-to-be-unpackaged"),
        pytest.param([(TEAMS, None, ...), (None, ["a"], ...)], {"image", "services", "package"}, id="all-together"),
    ],
)
def test_facts_are_what_was_seen_at_least_once(facts: list[tuple[Any, Any, Any]], expected: set[str]) -> None:
    maker = SubjectMaker("test")
    for image, services, package in facts:
        maker.subject(image, services, package, None, None)
    assert maker.facts == expected


def test_images_of_another_family_are_warned_about() -> None:
    """A capture of a Linux host replayed without its device document must not look like a policy that works."""
    maker = SubjectMaker("test")
    for image in ("/usr/bin/curl", "System", "/usr/bin/curl", "/usr/bin/ssh", r"C:\a.exe"):
        maker.subject(image, None, ..., None, None)
    [(code, text)] = maker.warnings("sockets.jsonl")
    assert code == "image_not_comparable"
    assert text.startswith("sockets.jsonl: 2 images such as '/usr/bin/curl' are no absolute windows paths")


@pytest.mark.parametrize(
    ("facts", "culprit"),
    [
        pytest.param({"image": 5}, "image", id="image-number"),
        pytest.param({"image": ["a"]}, "image", id="image-list"),
        pytest.param({"user": {}}, "user", id="user-object"),
        pytest.param({"package": False}, "package_family_name", id="package-bool"),
        pytest.param({"services": "TermService"}, "services", id="services-text"),
        pytest.param({"services": [""]}, "services", id="service-empty"),
        pytest.param({"services": [None]}, "services", id="service-null"),
        pytest.param({"services": [["a"]]}, "services", id="service-list"),
        pytest.param({"pid": "7"}, "pid", id="pid-text"),
        pytest.param({"pid": True}, "pid", id="pid-bool"),
        pytest.param({"pid": -1}, "pid", id="pid-negative"),
        pytest.param({"pid": 7.0}, "pid", id="pid-float"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(facts: dict[str, Any], culprit: str) -> None:
    """Also after an equal-looking good one was kept: 1 == True == 1.0 in Python."""
    maker = SubjectMaker("test")
    maker.subject(None, None, ..., 1, None)
    maker.subject(None, None, ..., 7, None)
    given = {"image": None, "services": None, "package": ..., "pid": None, "user": None} | facts
    with pytest.raises(ValueError, match=f"^{culprit} must be "):
        maker.subject(**given)


def test_create_time_and_container_make_another_subject() -> None:
    """A pid alone may be given to another process."""
    maker = SubjectMaker("test")
    first = maker.subject("C:\\a.exe", None, ..., 7, None, process_created=5, container="web")
    assert (first.process_created, first.container) == (5, "web")
    assert maker.subject("C:\\a.exe", None, ..., 7, None, 5, "web") is first
    assert maker.subject("C:\\a.exe", None, ..., 7, None, 6, "web") is not first
    plain = maker.subject("C:\\a.exe", None, ..., 7, None, container="")
    assert (plain.process_created, plain.container) == (None, None)
    with pytest.raises(ValueError, match="container must be a text or null"):
        maker.subject("C:\\a.exe", None, ..., 7, None, container=5)


def test_a_volume_that_no_drive_letter_is_known_for_is_told_with_what_to_write() -> None:
    """Whether a rule for C: means it is unknown, not unmet."""
    maker = SubjectMaker("security", drives={r"\Device\HarddiskVolume3": "C:"})
    for volume in (2, 2, 3):
        maker.subject(rf"\device\harddiskvolume{volume}\windows\a.exe", None, ..., 1, None)
    ((code, text),) = maker.warnings("log")
    assert code == "drive_not_mapped"
    assert r"give drives: {'\device\harddiskvolume2': 'C:'} in --device" in text
