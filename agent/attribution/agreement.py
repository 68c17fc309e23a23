"""What several equally believed sources come to: one owner with the facts of all, or an ambiguous one.

Knows when two subjects can be the same process. Must not know sources, or how owners are looked up.

    agree([Owner(Subject(pid=980, image=r"\\Device\\HarddiskVolume2\\a.exe", ...)), Owner(Subject(pid=980, ...))])
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agent.attribution.values import Owner
from agent.model.image import image_name, upper_one_to_one
from agent.model.moment import SECOND
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Confidence

CREATION_SLACK = 2 * SECOND
"""Clocks of two logs may differ by that much in when one process was created."""

_VOLUME = re.compile(r"(?:[A-Za-z]:|\\Device\\[^\\]+)(?=\\)", re.IGNORECASE)
"""What precedes a path on a Windows volume: logs name the volume by letter or by device."""

_SHORTENED = 15
CANDIDATES = 8
"""Kept of an ambiguous owner."""


def agree(owners: Sequence[Owner]) -> Owner:
    """One owner of what several sources of equal rank say of one socket, the first of them first."""
    known = [owner for owner in owners if owner.subject is not UNATTRIBUTED]
    subjects = list(dict.fromkeys(owner.subject for owner in known))
    if not subjects:
        subject = UNATTRIBUTED
    elif any(not same_process(one, other) for place, one in enumerate(subjects) for other in subjects[place + 1 :]):
        # A subject that is itself ambiguous stands for all it may be.
        meant = dict.fromkeys(candidate for one in subjects for candidate in (one.candidates or (one,)))
        subject = replace(subjects[0], confidence=Confidence.LOW, candidates=tuple(meant)[:CANDIDATES])
    else:
        subject = _together(subjects)
    opened = {owner.initiated for owner in owners if owner.initiated is not None}
    return Owner(
        subject,
        initiated=opened.pop() if len(opened) == 1 else None,
        listening=bool(known) and all(owner.listening for owner in known),
    )


def same_process(one: Subject, other: Subject) -> bool:
    """False if a fact that both know differs. Creation times count only without images: clocks of logs differ."""
    if one.candidates or other.candidates:
        return False
    pids_known = one.pid is not None and other.pid is not None
    if pids_known and one.pid != other.pid:
        return False
    if one.image is not None and other.image is not None:
        return same_image(one.image, other.image)
    created = one.process_created, other.process_created
    if created[0] is not None and created[1] is not None and abs(created[0] - created[1]) > CREATION_SLACK:
        return False
    return pids_known


def same_image(one: str, other: str) -> bool:
    r"""The same program as far as two logs' spellings show it: `C:\a\b.exe` and `\device\harddiskvolume2\a\b.exe`.

    A name without a folder is compared with the other's name, of which some sources keep 15 characters only.
    """
    if one[1:2] == other[1:2] == ":" and one[0].upper() != other[0].upper():
        return False  # both name the volume by letter, and not the same: a stick may hold any path
    if not (one.startswith("/") or other.startswith("/")):
        one, other = _below_volume(one), _below_volume(other)
    if ("/" in one or "\\" in one) and ("/" in other or "\\" in other):
        return one == other
    short, long = sorted((image_name(one), image_name(other)), key=len)
    return short == long or (len(short) >= _SHORTENED and long.startswith(short))


def _below_volume(image: str) -> str:
    r"""A Windows path without its drive letter or NT device, upper case: `\WINDOWS\SYSTEM32\SVCHOST.EXE`."""
    return upper_one_to_one(_VOLUME.sub("", image.replace("/", "\\"), count=1))


def _together(subjects: Sequence[Subject]) -> Subject:
    """The facts of all, each from the surest that knows it; a path that can be compared before one that cannot.

    It is as sure as the least sure that a fact a rule may ask for was taken from.
    """
    found, *others = sorted(subjects, key=lambda subject: -subject.confidence)
    for other in others:
        take_image = other.canonical_image is not None and found.canonical_image is None
        take_package = other.package_known and not found.package_known
        take_services = other.services is not None and found.services is None
        taken = take_image or take_package or take_services
        found = replace(
            found,
            image=other.image if take_image or found.image is None else found.image,
            canonical_image=other.canonical_image if take_image else found.canonical_image,
            services=other.services if take_services else found.services,
            package_family_name=other.package_family_name if take_package else found.package_family_name,
            package_known=found.package_known or other.package_known,
            pid=other.pid if found.pid is None else found.pid,
            process_created=other.process_created if found.process_created is None else found.process_created,
            user=found.user or other.user,
            container=found.container or other.container,
            confidence=min(found.confidence, other.confidence) if taken else found.confidence,
        )
    return replace(found, source="+".join(dict.fromkeys(subject.source for subject in subjects)))
