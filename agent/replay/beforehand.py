"""What a run finds out before its first packet is judged: whose packets these are, who resolves names, who owned what.

Knows the order of contract.md, "Local addresses", and what is taken from a look at the first packets. Must not know how
packets are judged, or read captures itself: it is given a way to look ahead.

    beforehand = Beforehand(world, options, look_ahead)
    beforehand.find_local(interface_addresses); beforehand.find_resolvers(); beforehand.find_owners(progress, stopped)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.capture.batch import Batch
from agent.model.address import Address, is_unicast
from agent.replay.local import LOOK_AHEAD, Sightings, infer, survey
from agent.replay.options import ProgressCallback, ReplayOptions
from agent.replay.wiring import World, add_carried, settle_attribution


class Beforehand:
    """One run's. Looks at the packets once, and only if somebody needs it."""

    def __init__(
        self, world: World, options: ReplayOptions, look_ahead: Callable[[int], list[tuple[int, Batch]]]
    ) -> None:
        """`look_ahead`: gives the batches with the first so many packets; they are judged later all the same."""
        self._world = world
        self._options = options
        self._look_ahead = look_ahead
        self._seen: Sightings | None = None

    def _sightings(self) -> Sightings:
        if self._seen is None:
            self._seen = survey(self._look_ahead(LOOK_AHEAD))
        return self._seen

    def find_local(self, interfaces: Iterable[Address]) -> None:
        """Unless somebody gave them: those of the interfaces, of attribution, of outbound frames, of the look-ahead."""
        world = self._world
        if world.local_basis != "none":
            return
        attributed = world.attribution.local_addresses() if world.attribution is not None else []
        attributed = [address for address in attributed if is_unicast(address)]
        for basis, found in (("interfaces", list(dict.fromkeys(interfaces))), ("attribution", attributed)):
            if found:
                world.local_exact, world.local_basis = list(found), basis
                return
        seen = self._sightings()
        if seen.outbound:
            world.local_exact, world.local_basis = list(seen.outbound), "outbound_frames"
        elif seen.packets:
            world.local_exact, world.local_basis = list(infer(seen)), "look_ahead"

    def find_resolvers(self) -> None:
        """Without configured resolvers those that answered this host in the look-ahead stand in, with a warning."""
        world = self._world
        if world.resolvers:
            return
        local = set(world.local_exact)
        networks = world.local_networks
        found = [
            server
            for client, server in self._sightings().resolvers
            if (client in local or any(client in network for network in networks)) and server not in local
        ]
        world.resolvers = list(dict.fromkeys(found))
        if world.resolvers:
            names = ", ".join(str(address) for address in world.resolvers)
            world.warnings.append(
                ("resolvers_inferred", f"no resolver is configured: {names} answered questions and is taken for one")
            )

    def find_owners(self, progress: ProgressCallback | None, stopped: Callable[[], bool]) -> None:
        """What captures say of processes; then the sources learn whose sockets are wanted, and when flows began."""
        world = self._world
        if not stopped():
            add_carried(world, self._options, progress, stopped)
            self._tell_pipes()
        if world.attribution is not None and world.attribution.recorded:
            seen = self._sightings()
            inside = [one for one in seen.present if any(one in network for network in world.local_networks)]
            settle_attribution(world, self._options, seen.openings, inside)

    def _tell_pipes(self) -> None:
        """A pipe can be read once only: what it says of processes comes too late."""
        if "-" not in self._options.captures or not self._options.settings.flag("attribution.carried"):
            return
        from agent.replay.carried import carries  # only pipes ask

        if carries(self._look_ahead(LOOK_AHEAD)):
            text = "standard input names processes, which only a file can be searched for beforehand: give a file"
            self._world.warnings.append(("carried_owners_unread", text))
