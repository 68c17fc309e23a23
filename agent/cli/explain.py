"""`explain`: one flow, described on the command line: its verdict, the reason, every rule condition by condition.

Knows the options and how a described flow becomes facts. Must not know how a flow is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.explain_view import Answer, document, parts
from agent.cli.options import Exclusions, NoExclusions, Sets, device_of, policy_of
from agent.cli.output import emit_json, show
from agent.model.address import Address, parse_address, parse_endpoint
from agent.model.device import Device, Family
from agent.model.errors import UsageError
from agent.model.image import expand_variables, map_device, posix_image, windows_image
from agent.model.protocols import ICMP, ICMPV6, WITH_PORTS, parse_protocol, protocol_name
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Confidence, Direction, Mode, Verdict
from agent.policy.effective import EffectivePolicy, FlowFacts
from agent.policy.match import Facts, effective_subject

if TYPE_CHECKING:
    from agent.policy.explain import RuleRow

_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}


def command(
    direction: Annotated[str, typer.Option(metavar="outbound|inbound", help="Who initiates: this host is outbound.")],
    remote: Annotated[str, typer.Option(metavar="IP[:PORT]", help="The other end; IPv6 with port as [IP]:PORT.")],
    rules: Annotated[str | None, typer.Option(metavar="FILE", help="Isolation exclusion rules.")] = None,
    mode: Annotated[
        Mode | None, typer.Option(help="The isolation; default: selective with --rules, else full.")
    ] = None,
    exclusions: Exclusions = None,
    no_exclusions: NoExclusions = False,
    device: Annotated[str | None, typer.Option(metavar="FILE", help="The device document.")] = None,
    process: Annotated[str | None, typer.Option(metavar="PATH", help="Image of the process on this host.")] = None,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="The service that owns the socket.")] = None,
    package: Annotated[str | None, typer.Option(metavar="NAME", help="Package family name of the process.")] = None,
    protocol: Annotated[str, typer.Option(metavar="NAME|N", help="tcp, udp, icmp, icmpv6, sctp or a number.")] = "tcp",
    local_port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="The port on this host.")] = 0,
    name: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="A host name known for the remote; repeatable.")
    ] = None,
    icmp_type: Annotated[int | None, typer.Option(min=0, max=255, metavar="N", help="Default: echo request.")] = None,
    settings: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> int:
    """Explain the verdict of one flow. Shows the reason and each condition of every rule."""
    from agent.engine.classify import classify, tables_of

    described = device_of(device)
    chosen = mode or (Mode.SELECTIVE if rules else Mode.FULL)
    policy = policy_of(
        mode=chosen,
        device=described,
        rules=rules,
        exclusions=exclusions,
        use_exclusions=not no_exclusions,
        settings=settings,
    )
    flow = _facts(direction, remote, protocol, local_port, icmp_type, name or (), described)
    subject = _subject(described, process, service, package)
    # No source is loaded, so none is complete: an unnamed process is one that nobody knows.
    own = _own(flow.remote, described)
    verdict = classify(policy, tables_of(policy), flow, subject, complete=False, loopback=own)
    apart = None
    if policy.isolated and not own and verdict.verdict is Verdict.DENY:
        apart = _apart(flow)
    answer = Answer(
        policy=policy, flow=flow, subject=subject, verdict=verdict, rows=_rows(policy, flow, subject), apart=apart
    )
    if as_json:
        emit_json(document(answer))
    else:
        show(parts(answer))
    return 0


def _own(remote: Address, device: Device) -> bool:
    """True for an address of the host itself: its traffic never leaves it."""
    loopback = remote.value >> 24 == 127 if remote.version == 4 else remote.value == 1
    return loopback or remote in device.addresses


def _apart(flow: FlowFacts) -> str | None:
    """The essential service that may let single messages of this flow through although the flow is denied."""
    from agent.engine.essentials import DHCP, DISCOVERY, DNS, LISTENER, needs_inspection

    if not needs_inspection(flow.protocol, flow.remote.version, flow.local_port, flow.remote_port, flow.icmp_type):
        return None
    if flow.protocol == ICMPV6:
        return DISCOVERY if 133 <= flow.icmp_type <= 137 else LISTENER
    return DNS if flow.remote_port == 53 else DHCP


def _rows(policy: EffectivePolicy, flow: FlowFacts, subject: Subject) -> tuple[RuleRow, ...]:
    from agent.policy.explain import explain_filters, explain_rules

    minimum = Confidence[str(policy.settings["attribution.minimum_confidence"]).upper()]
    facts = Facts(flow.direction, flow.remote, effective_subject(subject, minimum))
    if policy.embedded:
        return explain_filters(policy.filters, facts)
    return explain_rules(policy.snapshot, facts)


def _facts(
    direction: str,
    remote: str,
    protocol: str,
    local_port: int,
    icmp_type: int | None,
    names: list[str] | tuple[()],
    device: Device,
) -> FlowFacts:
    from agent.policy.values import host_name

    try:
        way = Direction(direction.lower())
    except ValueError:
        raise UsageError(f"--direction: {direction!r} is neither outbound nor inbound") from None
    try:
        number = parse_protocol(protocol)
    except ValueError as error:
        raise UsageError(f"--protocol: {error}") from None
    address, port = parse_remote(remote)
    if (port or local_port) and number not in WITH_PORTS:
        raise UsageError(f"--remote {remote}: {protocol_name(number)} has no ports; leave the port out")
    try:
        known = (*device.known_names.get(address, ()), *(host_name(text) for text in names))
    except ValueError as error:
        raise UsageError(f"--name: {error}") from None
    return FlowFacts(
        direction=way,
        direction_trusted=True,
        protocol=number,
        remote=address,
        remote_port=port,
        local_port=local_port,
        icmp_type=_ECHO_REQUEST.get(number, 0) if icmp_type is None else icmp_type,
        names=tuple(dict.fromkeys(known)),
        remote_is_resolver=address in device.resolvers,
    )


def parse_remote(text: str) -> tuple[Address, int]:
    """`IP`, `IP:PORT`, `[IP]` or `[IP]:PORT`; port 0 where none is given. Raises UsageError."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return parse_address(bare), 0
    except ValueError:
        pass
    try:
        endpoint = parse_endpoint(text)
    except ValueError:
        endpoint = None
    if endpoint is None or endpoint.address is None:
        raise UsageError(f"--remote: {text!r} is not IP[:PORT] such as 203.0.113.9:443 or [2001:db8::7]:443")
    return endpoint.address, endpoint.port


def _subject(device: Device, process: str | None, service: str | None, package: str | None) -> Subject:
    """The local end as described. What is not given is unknown, and unknown meets no condition."""
    if process is None and service is None and package is None:
        return UNATTRIBUTED
    windows = device.family is Family.WINDOWS
    canonical = None
    if process is not None:
        try:
            if windows:
                process = map_device(expand_variables(process, device.environment), device.drives)
            canonical = windows_image(process) if windows else posix_image(process)
        except ValueError as error:
            raise UsageError(f"--process: {error}") from None
    return Subject(
        image=process,
        canonical_image=canonical,
        services=None if service is None else (service.lower() if windows else service,),
        package_family_name=package,
        package_known=package is not None,
        source="command line",
    )
