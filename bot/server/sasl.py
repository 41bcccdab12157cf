"""AUTHENTICATE: a client proves which account is theirs.

Follows https://ircv3.net/specs/extensions/sasl-3.2.
"""

from __future__ import annotations

import base64
import hmac

from bot.server.lines import MAX_TAGS
from bot.server.peer import Peer
from bot.server.verbs import Refused, verb


@verb("AUTHENTICATE", early=True)
def authenticate(me: Peer, chunk: str) -> None:
    so_far, me.sasl = me.sasl, None
    if me.account or "sasl" not in me.caps:
        raise Refused("907" if me.account else "904")
    if chunk == "*":
        raise Refused("906")
    if so_far is None:
        if chunk.upper() != "PLAIN":
            me.reply("908", "PLAIN", text="are available SASL mechanisms")
            raise Refused("904")
        me.sasl = ""
        return me.send("AUTHENTICATE +")
    if len(chunk) > 400 or len(so_far) > MAX_TAGS:
        raise Refused("905")
    so_far += "" if chunk == "+" else chunk
    if len(chunk) == 400:
        me.sasl = so_far
        return None
    try:
        _, name, password = base64.b64decode(so_far, validate=True).decode().split("\0")
    except ValueError:
        raise Refused("904") from None
    if not hmac.compare_digest(me.server.accounts.get(name, "\0").encode(), password.encode()):
        raise Refused("904")
    me.log_in(name)
    return me.reply("903", text="SASL authentication successful")
