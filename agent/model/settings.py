"""Every setting of the semantics, with its default, unit and meaning: one table, read by --set and by people.

>>> Settings.from_pairs(["attribution.slack=5"])["attribution.slack"]
5
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.model.errors import UsageError

Value = bool | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. `choices` names the words a text setting takes; `unit` is for people."""

    name: str
    default: Value
    meaning: str
    choices: tuple[str, ...] = ()
    unit: str = ""
    minimum: int = 0
    maximum: int = 1 << 40


def _switch(name: str, default: bool, meaning: str) -> Setting:
    return Setting(name=name, default=default, meaning=meaning)


TABLE: tuple[Setting, ...] = (
    Setting(
        name="link.other",
        default="allow",
        choices=("allow", "deny"),
        meaning="frames that are not IP: shown in their own bucket, or denied while isolated",
    ),
    _switch("loopback", True, "traffic of the host with itself is always allowed"),
    _switch("reauthorise", True, "flows are judged anew when the policy changes; off: they keep their verdict"),
    Setting(
        name="timeouts.profile",
        default="auto",
        choices=("auto", "conntrack", "wfp"),
        meaning="flow time-outs; auto: wfp for Windows devices, else conntrack",
    ),
    Setting(
        name="flow_table.size",
        default=1_000_000,
        unit="flows",
        minimum=16,
        maximum=50_000_000,
        meaning="flows held at once",
    ),
    Setting(
        name="flow_table.reserved",
        default=1024,
        unit="flows",
        maximum=1_000_000,
        meaning="slots of the table that only cloud-channel flows may take (at most half the table)",
    ),
    Setting(
        name="fragment_table.size",
        default=16_384,
        unit="datagrams",
        minimum=1,
        maximum=10_000_000,
        meaning="fragmented datagrams followed at once",
    ),
    Setting(
        name="related.rate",
        default=100,
        unit="packets/s",
        maximum=1_000_000_000,
        meaning="ICMP errors admitted as related to an allowed flow",
    ),
    _switch("direction.trust_guesses", True, "a guessed direction meets a rule's direction condition"),
    Setting(
        name="attribution.slack",
        default=60,
        unit="s",
        maximum=1_000_000_000,
        meaning="how far outside its socket record's interval a flow may begin",
    ),
    Setting(
        name="attribution.minimum_confidence",
        default="medium",
        choices=("low", "medium", "high"),
        meaning="less certain owners meet no process, service or package condition",
    ),
    Setting(
        name="attribution.clock_limit",
        default=2_592_000,
        unit="s",
        maximum=1_000_000_000,
        meaning="how far a log's clock may be off the capture's and still be corrected",
    ),
    Setting(
        name="attribution.clock_hits",
        default=2,
        unit="flows",
        minimum=1,
        maximum=1_000_000,
        meaning="flows that must agree on a clock's error before it is corrected by more than attribution.slack",
    ),
    _switch("attribution.carried", True, "processes that a capture itself names are used"),
    Setting(
        name="cloud_channel.process_evidence",
        default="auto",
        choices=("auto", "required", "destination"),
        meaning="an unknown process to a cloud address: denied (required), judged by destination alone "
        "(destination), or the latter only where no complete source is loaded (auto)",
    ),
    Setting(
        name="cloud_channel.watch_window",
        default=900,
        unit="s",
        maximum=1_000_000_000,
        meaning="isolated for so long without an allowed cloud-channel flow: warning cloud_channel_unreachable",
    ),
    Setting(
        name="essential.dns",
        default="auto",
        choices=("auto", "off", "cloud_names", "configured_resolvers", "any"),
        meaning="DNS while isolated; auto: cloud_names, or configured_resolvers in Selective with an outbound "
        "rule to undefined remotes or the embedded list",
    ),
    _switch("essential.neighbour_discovery", True, "ICMPv6 133-136 with hop limit 255"),
    _switch("essential.multicast_listener", True, "ICMPv6 130-132 and 143 with hop limit 1 from link-local"),
    _switch("essential.dhcp", True, "the DHCPv4 and DHCPv6 client"),
    _switch("essential.icmp_echo", False, "ping in both directions"),
    _switch("essential.ntp", False, "time: outbound UDP/123"),
    _switch("essential.kerberos", False, "outbound TCP and UDP/88"),
    _switch("essential.llmnr", False, "UDP/5355 to and from its multicast groups"),
    _switch("essential.mdns", False, "UDP/5353 to and from its multicast groups"),
    _switch("essential.netbios", False, "outbound UDP/137 and UDP/138"),
    _switch("essential.ssdp", False, "outbound UDP/1900 to its multicast groups"),
    _switch("policy.reject_unbounded_rules", False, "refuse a rule that lets everything through"),
    Setting(
        name="platform.limits",
        default="enforced",
        choices=("enforced", "lab"),
        meaning="lab: Selective and rules work on platforms where the product lacks them",
    ),
)
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in TABLE}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run. `settings["name"]` gives the chosen value or the default."""

    chosen: Mapping[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.chosen[name] if name in self.chosen else BY_NAME[name].default

    def flag(self, name: str) -> bool:
        value = self[name]
        assert isinstance(value, bool), name
        return value

    def number(self, name: str) -> int:
        value = self[name]
        assert isinstance(value, int), name
        return value

    def word(self, name: str) -> str:
        value = self[name]
        assert isinstance(value, str), name
        return value

    def everything(self) -> dict[str, Value]:
        """Name to value of every setting, in name order."""
        return {name: self[name] for name in sorted(BY_NAME)}

    @classmethod
    def from_pairs(cls, pairs: Iterable[str]) -> Settings:
        """Settings from KEY=VALUE texts. Raises UsageError naming the key, and the nearest known one."""
        chosen: dict[str, Value] = {}
        for pair in pairs:
            name, equals, text = pair.partition("=")
            name = name.strip()
            if not equals:
                raise UsageError(f"--set {pair!r}: write KEY=VALUE")
            if name not in BY_NAME:
                near = difflib.get_close_matches(name, BY_NAME, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(BY_NAME))}"
                raise UsageError(f"--set {name}: no such setting; {hint}")
            chosen[name] = parse_value(BY_NAME[name], text.strip())
        return cls(chosen)


_SWITCH_WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


def parse_value(setting: Setting, text: str) -> Value:
    """The value `text` spells for `setting`. Raises UsageError saying what is allowed."""
    if isinstance(setting.default, bool):
        if text.lower() not in _SWITCH_WORDS:
            raise UsageError(f"--set {setting.name}: {text!r} is neither on nor off")
        return _SWITCH_WORDS[text.lower()]
    if isinstance(setting.default, int):
        if not (text.isascii() and text.isdigit() and setting.minimum <= int(text) <= setting.maximum):
            allowed = f"a whole number from {setting.minimum} to {setting.maximum}"
            raise UsageError(f"--set {setting.name}: {text!r} is not {allowed} ({setting.unit})")
        return int(text)
    if text not in setting.choices:
        raise UsageError(f"--set {setting.name}: {text!r} is not one of {', '.join(setting.choices)}")
    return text
