"""What a server has to say about what we do, in the log: FAIL, WARN and NOTE, each once for a connection.

Plugins get them as the events `fail`, `warn` and `note`; nothing here acts on one.

Follows https://ircv3.net/specs/extensions/standard-replies.
"""

from __future__ import annotations

import logging

from bot.api.events import STANDARD_REPLIES
from bot.protocol.message import Message

log = logging.getLogger(__name__)

_MOST = 100  # kinds; a server has few


class Remarks:
    """The remarks of one server.

    Args:
        network: its name, for the log.
    """

    def __init__(self, network: str) -> None:
        self._network = network
        self._told: set[tuple[str, ...]] = set()

    def heard(self, message: Message) -> None:
        """Write a remark down, the same one a second time only for who looks closely."""
        if message.command not in STANDARD_REPLIES:
            return
        kind = (message.command, *message.params[:2])
        again = kind in self._told or len(self._told) >= _MOST
        if not again:
            self._told.add(kind)
        about = " ".join(word for word in message.params[:-1] if word != "*")
        level = logging.INFO if message.command == "NOTE" else logging.WARNING
        log.log(
            logging.DEBUG if again else level,
            "%s: the server says %s%s: %s",
            self._network,
            message.command,
            f" {about}" if about else "",
            message.param(-1),
        )

    def clear(self) -> None:
        """The connection is gone."""
        self._told.clear()
