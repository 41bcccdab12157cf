"""Lines on their way to the networks: `dispatch.outlet.Sender`, as the app is it.

What may be said where, and when it leaves, is the connection's; how a text becomes lines is the outlet's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from bot.calls import Calls
from bot.dispatch.typist import Typist
from bot.networks import Networks
from bot.protocol.message import Message

log = logging.getLogger(__name__)


class Speaker:
    """A part of the app; these are the app's.

    Attributes:
        loop, thread: the event loop, and the thread in which it runs.
        typist: is told of what is said.
    """

    loop: asyncio.AbstractEventLoop
    thread: int
    networks: Networks
    calls: Calls
    typist: Typist

    def room(self, network: str, command: str, target: str) -> int:
        """Bytes of text that fit into one relayed line."""
        known = self.networks.get(network)
        return known.connection.room_for(command, target) if known else 400

    def together(self, network: str) -> bool:
        """Whether several lines may be one message there."""
        known = self.networks.get(network)
        return known is not None and known.connection.multiline is not None

    def deliver(
        self, network: str, messages: Sequence[Message], cause: str, handler: str, k: int
    ) -> Sequence[Awaitable[object] | None]:
        """Queue lines to one target, of which the first is numbered k."""
        if self.calls.left and cause != "-":  # the next worker answers this line, from the beginning
            return (None,)
        known = self.networks.get(network)
        if known is None:
            log.warning("%s speaks to %s, a network that is not configured", handler, network)
            return (None,)
        self.typist.said(network, messages[0].param(0))
        return known.connection.say_together(messages, cause=cause, handler=handler, k=k)
