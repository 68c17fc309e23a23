"""Builds what a replay runs on: device, policies, owners, engine. Opens documents; never packets.

The one place where options become objects; run.py drives them.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from agent.attribution.chain import Attribution, Failing, Source
from agent.attribution.recorded import Opening
from agent.capture.reader import may_name_processes
from agent.datapath.flows import FlowTable
from agent.datapath.fragments import FragmentTable
from agent.engine.direction import Directions
from agent.engine.engine import Engine
from agent.engine.events import EventSink
from agent.engine.names import NameTable
from agent.model.address import Address
from agent.model.device import Device
from agent.model.errors import UsageError
from agent.model.moment import SECOND
from agent.model.rule import Network, RuleDocument
from agent.policy.effective import CloudChannel, EffectivePolicy
from agent.replay.options import Progress, ProgressCallback, ReplayOptions

FAULTS = ("flow_table_full", "fragment_table_full", "attribution_failed")
"""What --simulate can force in a replay."""


@dataclass(slots=True, kw_only=True)
class World:
    """What is known before the first packet."""

    device: Device
    rules: RuleDocument | None
    cloud: CloudChannel | None
    known_names: dict[Address, tuple[str, ...]]
    attribution: Attribution | None
    local_exact: list[Address] = field(default_factory=list)
    local_networks: list[Network] = field(default_factory=list)
    local_basis: str = "none"
    resolvers: list[Address] = field(default_factory=list)
    captures: tuple[str, ...] = ()
    """Paths of all captures of the run."""
    openings: tuple[Opening, ...] = ()
    """When flows began among the first packets."""
    inside: tuple[Address, ...] = ()
    """Addresses among the first packets that lie in a prefix of the device."""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    seed: int = field(default_factory=lambda: int.from_bytes(os.urandom(8), "big"))
    """Of every hash that packets choose the keys of; one for all tracks, which share what was seen of the packets."""


def load_world(options: ReplayOptions, progress: ProgressCallback | None = None) -> World:
    """Read every document of `options`. Raises AgentError for the first that is wrong."""
    unknown = sorted(set(options.simulate) - set(FAULTS))
    if unknown:
        raise UsageError(f"--simulate {unknown[0]}: no such fault; known: {', '.join(FAULTS)}")
    device = Device(assumed=True)
    rules, cloud, names = None, None, {}
    if options.device or options.rules or options.names:
        from agent.policy.document import load_device, load_names, load_rules  # its parsers only when asked for

        device = load_device(options.device) if options.device else device
        rules = load_rules(options.rules) if options.rules else None
        names = load_names(options.names) if options.names else {}
    if options.host is not None:
        device = replace(device, name=options.host)
    if options.cloud_channel:
        from agent.policy.reserved import load_cloud_channel

        cloud = load_cloud_channel(device, options.cloud_channel)
    known = {address: tuple(names) for address, names in device.known_names.items()}
    for address, more in names.items():
        known[address] = tuple(dict.fromkeys((*known.get(address, ()), *more)))
    owners = _attribution(options, device, progress)
    world = World(device=device, rules=rules, cloud=cloud, known_names=known, attribution=owners)
    world.resolvers = list(device.resolvers)
    if device.assumed:
        world.warnings.append(("device_assumed", "no device document: a Windows 11 workstation is assumed"))
    _told_addresses(world, options.local)
    return world


def _attribution(
    options: ReplayOptions, device: Device, progress: ProgressCallback | None = None
) -> Attribution | None:
    if not options.attribution:
        return None
    from agent.attribution.evidence import Context
    from agent.attribution.formats import open_sources  # its parsers only when asked for

    attribution = Attribution()
    slack = options.settings.number("attribution.slack") * SECOND
    context = Context(device=device, slack_ns=slack, lenient=options.lenient, progress=reading_progress(progress))
    gc.disable()  # a log makes millions of values and no cycles: looking for them costs a third of its time
    try:
        sources = open_sources(options.attribution, format=options.attribution_format, context=context)
    finally:
        gc.enable()
    if options.host is not None:
        from agent.replay.sockets import require_host

        require_host(sources, options.host)
    for source in sources:
        attribution.add(_perhaps_failing(source, options))
    return attribution


def reading_progress(progress: ProgressCallback | None) -> Callable[[str, int, int | None], None] | None:
    """What a source's file tells while it is read, as a run's progress."""
    if progress is None:
        return None

    def told(path: str, read: int, total: int | None) -> None:
        progress(Progress(bytes_read=read, bytes_total=total, packets=0, path=path))

    return told


def add_carried(
    world: World, options: ReplayOptions, progress: ProgressCallback | None, stopped: Callable[[], bool]
) -> None:
    """Take what the captures themselves say of processes, for which those that may are read beforehand."""
    paths = [path for path in world.captures if may_name_processes(path)]
    if not paths or not options.settings.flag("attribution.carried"):
        return
    from agent.replay.carried import carried_sources  # only few captures name processes

    slack = options.settings.number("attribution.slack") * SECOND
    sources = carried_sources(paths, world.device, world.local_exact, slack, progress, stopped)
    if sources and world.attribution is None:
        world.attribution = Attribution()
    for source in sources:
        if world.attribution is not None:
            world.attribution.add(_perhaps_failing(source, options))


def _perhaps_failing(source: Source, options: ReplayOptions) -> Source:
    failing = options.simulate.get("attribution_failed")
    return source if failing is None else Failing(source, answers=failing)


def settle_attribution(
    world: World, options: ReplayOptions, openings: Iterable[Opening], inside: Iterable[Address]
) -> None:
    """Tell the sources whose sockets are wanted and when the capture's first flows began.

    `inside`: addresses that are the device's because they lie in one of its prefixes.
    """
    from agent.attribution.recorded import Surroundings

    if world.attribution is None:
        return
    settings, world.openings, world.inside = options.settings, tuple(openings), tuple(inside)
    world.attribution.settle(
        Surroundings(
            addresses=(*world.local_exact, *world.inside),
            openings=world.openings,
            clock_limit=settings.number("attribution.clock_limit") * SECOND,
            clock_hits=settings.number("attribution.clock_hits"),
        )
    )


def _told_addresses(world: World, local: Iterable[str]) -> None:
    """--local and the device document: exact addresses, and prefixes for those written with a length."""
    from agent.policy.values import parse_network

    exact = dict.fromkeys(world.device.addresses)
    for text in local:
        try:
            network = parse_network(text.strip())
        except ValueError as error:
            raise UsageError(f"--local {text}: {error}") from None
        if network.first == network.last:
            exact[Address(network.version, network.first)] = None
        else:
            world.local_networks.append(network)
    world.local_exact = list(exact)
    if exact or world.local_networks:
        world.local_basis = "option" if local else "device"


def compilers(
    world: World, options: ReplayOptions
) -> tuple[Callable[[int], EffectivePolicy], Callable[[int], EffectivePolicy]]:
    """(isolated, released): policies by generation."""
    from agent.policy.snapshot import build_policy, released_policy

    def isolated(generation: int) -> EffectivePolicy:
        return build_policy(
            options.mode,
            device=world.device,
            rules=world.rules,
            exclusions=options.exclusions,
            use_exclusions=options.use_exclusions,
            settings=options.settings,
            cloud=world.cloud,
            generation=generation,
        )

    def released(generation: int) -> EffectivePolicy:
        return released_policy(device=world.device, settings=options.settings, generation=generation, cloud=world.cloud)

    return isolated, released


def build_engine(world: World, options: ReplayOptions, sink: EventSink | None) -> Engine:
    """An engine for the device, without a policy yet."""
    from agent.policy.platforms import ephemeral_ports
    from agent.policy.reserved import load_timeouts

    settings = options.settings
    timeouts = load_timeouts(settings.word("timeouts.profile"), world.device.family)
    flows = FlowTable(
        settings.number("flow_table.size"),
        settings.number("flow_table.reserved"),
        world.seed,
        {state: seconds * SECOND for state, seconds in timeouts.items()},
    )
    engine = Engine(
        flows=flows,
        fragments=FragmentTable(options.simulate.get("fragment_table_full", settings.number("fragment_table.size"))),
        attribution=world.attribution,
        names=NameTable(world.known_names),
        resolvers=set(world.resolvers),
        directions=Directions(ephemeral_ports(world.device.platform)),
        trust_guesses=settings.flag("direction.trust_guesses"),
        reauthorise=settings.flag("reauthorise"),
        multicast_reply=timeouts["multicast_reply"] * SECOND,
        enforcement="simulated",
        sink=sink,
        all_events=options.events == "all",
    )
    path = engine.datapath
    path.set_related_rate(settings.number("related.rate"))
    path.scout.set_local(
        [(address.version, address.value) for address in world.local_exact],
        [(network.version, network.first, network.last) for network in world.local_networks],
    )
    if "flow_table_full" in options.simulate:
        path.fail_flows = options.simulate["flow_table_full"]
    return engine


def other_rules(world: World, options: ReplayOptions) -> tuple[World, ReplayOptions]:
    """The same run under the rules of --compare, writing nothing."""
    from agent.policy.document import load_rules

    assert options.compare is not None
    other = replace(world, rules=load_rules(options.compare), warnings=[])
    if "attribution_failed" in options.simulate:
        other.attribution = _attribution(options, world.device)  # it counts its answers
        add_carried(other, options, None, lambda: False)
        settle_attribution(other, options, world.openings, world.inside)
    return other, replace(options, rules=options.compare, decisions=None, allowed=None, denied=None)
