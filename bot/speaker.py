"""Lines on their way to the networks: `dispatch.outlet.Sender`, as the app is it.

What may be said where, and when it leaves, is the connection's; how a text becomes lines is the outlet's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

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

    def deliver(self, network: str, message: Message, cause: str, handler: str, k: int) -> Awaitable[object] | None:
        """Queue one line."""
        if self.calls.left and cause != "-":  # the next worker answers this line, from the beginning
            return None
        known = self.networks.get(network)
        if known is None:
            log.warning("%s speaks to %s, a network that is not configured", handler, network)
            return None
        self.typist.said(network, message.param(0))
        return known.connection.say(message, cause=cause, handler=handler, k=k)
