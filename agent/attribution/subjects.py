r"""Subjects from what a source recorded: canonical image, services, package family name; equal ones one object.

Knows how Windows and POSIX spell facts of a process. Must not know file formats.

    maker = SubjectMaker("sockets", family=Family.WINDOWS, drives={r"\Device\HarddiskVolume3": "C:"})
    maker.subject(r"\Device\HarddiskVolume3\Windows\System32\svchost.exe", ["TermService"], None, 980, None)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import EllipsisType
from typing import Any

from agent.model.device import Device, Family
from agent.model.image import map_device, posix_image, upper_one_to_one, windows_image
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence

PACKAGES_ROOT = r"C:\Program Files\WindowsApps"
"""Where Windows installs packages. Only what lies here is believed to be one: any user may create another folder
of that name elsewhere, and would gain every exclusion of the package it pretends to be."""

_PACKAGE_FOLDER = re.compile(
    r"(?P<name>[-.A-Za-z0-9]+)_\d+(?:\.\d+)*_[A-Za-z0-9]+_[^_]*_(?P<publisher>[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{13})"
)
"""<Name>_<Version>_<Arch>_<ResourceId>_<PublisherId>; the id in Windows' base 32, which lacks i, l, o and u."""

_DEVICES = "\\DEVICE\\"

_KERNEL = frozenset({"system", "registry", "idle", "system idle process", "memory compression", "<unknown process>"})
"""What Windows' own logs write where there is no program file."""


def packages_folder(device: Device) -> str:
    """The WindowsApps folder of a device."""
    programs = {name.upper(): value for name, value in device.environment.items()}.get("PROGRAMFILES")
    return f"{programs}\\WindowsApps" if programs else PACKAGES_ROOT


class SubjectMaker:
    """Makes the subjects of one source. Mutable: it keeps each it made, and notes which facts it has seen."""

    def __init__(
        self,
        source: str,
        *,
        family: Family = Family.WINDOWS,
        drives: Mapping[str, str] | None = None,
        packages_root: str = PACKAGES_ROOT,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        """`drives`: NT device to drive letter; `packages_root`: the device's WindowsApps folder."""
        self.source = source
        self.family = family
        self.drives = drives or {}
        self.confidence = confidence
        self._root = windows_image(packages_root) + "\\"
        self._known: dict[object, Subject] = {}
        self._facts: set[str] = set()
        self._strange: dict[str, None] = {}
        self._unmapped: dict[str, None] = {}

    @property
    def facts(self) -> frozenset[str]:
        """Which of `image`, `services`, `package` at least one subject has."""
        return frozenset(self._facts)

    def warnings(self, place: str) -> Iterator[tuple[str, str]]:
        """(code, text) for what could not be used; `place` is the file."""
        if self._strange:
            text = f"{place}: {len(self._strange)} images such as {next(iter(self._strange))!r} are no absolute"
            yield "image_not_comparable", f"{text} {self.family} paths and meet no process condition; see --device"
        if self._unmapped:
            volumes = ", ".join(list(self._unmapped)[:3])
            text = f"{place}: images on {volumes} meet no process condition: no drive letter is known for them"
            yield "drive_not_mapped", f"{text}; give drives: {{'{next(iter(self._unmapped))}': 'C:'}} in --device"

    def subject(
        self,
        image: Any,
        services: Any,
        package: Any | EllipsisType,
        pid: Any,
        user: Any,
        process_created: int | None = None,
        container: Any = None,
    ) -> Subject:
        """The subject with these facts, None for unknown. Raises ValueError naming a value of the wrong type.

        `package`: the family name, None for "known to have none", ... for unknown; `process_created`: nanoseconds
        since 1970.
        """
        if services is not None and type(services) is not list:
            raise ValueError("services must be a list of service names, or absent")
        if pid is not None and (type(pid) is not int or pid < 0):
            raise ValueError("pid must be a whole number from 0, or null")
        try:
            names = None if services is None else tuple(services)
            key = (image, names, package, pid, user, process_created, container)
            known = self._known.get(key)
        except TypeError:
            key, known = None, None  # a list or object where a text belongs: _make names it
        if known is None:
            known = self._known[key] = self._make(image, services, package, pid, user, process_created, container)
        return known

    def _make(
        self,
        image: Any,
        services: list[Any] | None,
        package: Any | EllipsisType,
        pid: int | None,
        user: Any,
        process_created: int | None,
        container: Any,
    ) -> Subject:
        texts = (("image", image), ("user", user), ("package_family_name", package), ("container", container))
        for key, value in texts:
            if value is not None and value is not ... and type(value) is not str:
                raise ValueError(f"{key} must be a text or null")
        if services is not None and not all(type(service) is str and service for service in services):
            raise ValueError("services must be a list of service names, or absent")
        shown = map_device(image, self.drives) if image and self.family is Family.WINDOWS else image or None
        canonical = self._canonical(shown)
        names = None if services is None else tuple(self._service(service) for service in services)
        if package is ...:
            package = self._package(shown, canonical)
        self._note(canonical, names, package)
        return Subject(
            image=shown,
            canonical_image=canonical,
            services=names,
            package_family_name=None if package is ... else package or None,
            package_known=package is not ...,
            pid=pid,
            process_created=process_created,
            user=user,
            container=container or None,
            source=self.source,
            confidence=self.confidence,
        )

    def _canonical(self, image: str | None) -> str | None:
        if image is None:
            return None
        try:
            if self.family is not Family.WINDOWS:
                return posix_image(image)
            canonical = windows_image(image, self.drives)
            if not canonical.startswith(_DEVICES):
                return canonical
            # Which drive that is nobody said: whether a rule means this file is not known.
            self._unmapped["\\".join(image.replace("/", "\\").split("\\")[:3])] = None
            return None
        except ValueError:
            if image.lower() not in _KERNEL:
                self._strange[image] = None
            return None

    def _service(self, name: str) -> str:
        """Windows compares service names without regard to case; systemd does not."""
        return name.lower() if self.family is Family.WINDOWS else name

    def _package(self, shown: str | None, canonical: str | None) -> str | EllipsisType:
        """The package family name that the folder of an installed package spells, else unknown."""
        if shown is None or canonical is None or self.family is not Family.WINDOWS:
            return ...
        if not canonical.startswith(self._root):
            return ...
        folder = canonical[len(self._root) :].partition("\\")[0]
        written = next((part for part in re.split(r"[\\/]", shown) if upper_one_to_one(part) == folder), folder)
        match = _PACKAGE_FOLDER.fullmatch(written)
        return f"{match['name']}_{match['publisher']}" if match else ...

    def _note(
        self, canonical: str | None, services: tuple[str, ...] | None, package: str | EllipsisType | None
    ) -> None:
        if canonical is not None:
            self._facts.add("image")
        if services is not None:
            self._facts.add("services")
        if package is not ...:
            self._facts.add("package")
