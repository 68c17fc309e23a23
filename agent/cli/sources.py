"""What `sockets` and `attribution` share: their inputs, captures and side files in any mix, and how they are opened.

Knows how inputs are told apart. Must not know formats, or what the commands make of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import device_of
from agent.model.errors import UsageError
from agent.model.moment import SECOND
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.replay.options import ProgressCallback, ReplayOptions

if TYPE_CHECKING:
    from agent.attribution.chain import Attribution
    from agent.model.address import Address

Inputs = Annotated[
    list[str], typer.Argument(metavar="INPUT...", help="Logs, snapshots, socket records, captures: what shows sockets.")
]
Format = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="Of the inputs that are no captures; else detected.")
]
DeviceFile = Annotated[str | None, typer.Option(metavar="FILE", help="The device whose sockets are wanted.")]
Host = Annotated[str | None, typer.Option(metavar="NAME", help="Of several hosts in a log, this one.")]
Local = Annotated[list[str] | None, typer.Option(metavar="IP|CIDR", help="Addresses of the device; repeatable.")]
Lenient = Annotated[bool, typer.Option("--lenient", help="Use the good lines however many are broken.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of one call."""

    inputs: Sequence[str]
    format: str | None = None
    device: str | None = None
    host: str | None = None
    local: Sequence[str] = ()
    lenient: bool = False
    settings: Sequence[str] = ()

    def replay(self) -> ReplayOptions:
        """A replay of the captures among the inputs, attributed by the others."""
        captures, files = split(self.inputs)
        return ReplayOptions(
            captures=captures,
            attribution=files,
            attribution_format=self.format,
            device=self.device,
            host=self.host,
            local=tuple(self.local),
            lenient=self.lenient,
            mode=Mode.NONE,
            settings=Settings.from_pairs(self.settings),
        )


def split(inputs: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(captures, side files), by what they begin with. Raises UsageError for one that cannot be either."""
    from agent.capture.reader import is_capture

    captures: list[str] = []
    files: list[str] = []
    for path in inputs:
        if path == "-":
            raise UsageError("-: a pipe cannot be read twice; give files")
        (captures if is_capture(path) else files).append(path)
    return tuple(captures), tuple(files)


def _addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    """Of --local, where no capture shows what a prefix holds."""
    from agent.model.address import parse_address

    try:
        return tuple(parse_address(text.strip()) for text in texts)
    except ValueError as error:
        raise UsageError(f"--local {error}; without a capture give addresses, not prefixes") from None


def attribution_of(asked: Asked, progress: ProgressCallback | None) -> tuple[Attribution, set[Address]]:
    """The sources among the inputs, told of the captures among them, and the device's addresses. Raises AgentError."""
    options = asked.replay()
    if options.captures:
        from agent.replay.run import prepare

        world = prepare(options, progress)
        if world.attribution is None:
            raise UsageError(f"{', '.join(options.captures)}: no packet in there names a process; give a log as well")
        return world.attribution, {*world.local_exact, *world.inside}
    from agent.attribution.chain import Attribution
    from agent.attribution.evidence import Context
    from agent.attribution.formats import open_sources
    from agent.attribution.recorded import Surroundings
    from agent.replay.sockets import require_host, require_one_host
    from agent.replay.wiring import reading_progress

    device = device_of(asked.device)
    if asked.host is not None:
        device = replace(device, name=asked.host, assumed=False)
    if asked.local:
        device = replace(device, addresses=_addresses(asked.local), assumed=False)
    slack = Settings.from_pairs(asked.settings).number("attribution.slack") * SECOND
    context = Context(device=device, lenient=asked.lenient, slack_ns=slack, progress=reading_progress(progress))
    attribution = Attribution()
    for source in open_sources(options.attribution, format=asked.format, context=context):
        attribution.add(source)
    if asked.host is not None:
        require_host(attribution.sources, asked.host)
    elif device.assumed:
        require_one_host(attribution.sources)
    own = device.addresses or attribution.local_addresses()
    attribution.settle(Surroundings(addresses=own))
    return attribution, set(own)
