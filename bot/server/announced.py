"""What the server says of itself: the capabilities it offers, and the tokens of 005.

Both follow from the settings of `Server`, when they are asked for. https://modern.ircdocs.horse/#rplisupport-parameters
"""

from __future__ import annotations

from bot.server.lines import (
    CHANNELLEN,
    FLAGS,
    MAX_BANS,
    MAX_CHANNELS,
    MAX_TARGETS,
    MAX_TEXT,
    MAX_WATCHED,
    NICKLEN,
)
from bot.server.peer import Peer


def capabilities(peer: Peer) -> dict[str, str]:
    """What CAP LS shows to this one, with values; `sts` depends on whether they are on TLS."""
    server = peer.server
    known = server.accounts or server.fingerprints or server.public_keys
    offered = {name: value for name, value in server.caps.items() if name != "sasl" or known}
    if server.history:
        offered["draft/chathistory"] = ""
    if server.sts_seconds is not None:
        offered["sts"] = f"duration={server.sts_seconds}" if peer.secure else f"port={server.tls_port}"
    return offered


def isupport(peer: Peer) -> list[str]:
    """The tokens of 005."""
    server = peer.server
    letters, symbols, types = "".join(server.prefixes), "".join(server.prefixes.values()), server.chantypes
    rare = {
        f"CLIENTTAGDENY={server.denied_tags}": server.denied_tags,
        f"CHATHISTORY={server.history}": server.history,
        "MSGREFTYPES=msgid,timestamp": server.history,
        "UTF8ONLY": server.utf8_only,
    }
    return (
        f"AWAYLEN={MAX_TEXT['away']} BOT=B CASEMAPPING={server.casemapping} CHANLIMIT={types}:{MAX_CHANNELS} "
        f"CHANMODES=b,k,l,{FLAGS} CHANNELLEN={CHANNELLEN} CHANTYPES={types} KEYLEN=23 "
        f"KICKLEN={MAX_TEXT['kick']} LINELEN={server.max_body + 2} MAXLIST=b:{MAX_BANS} MAXTARGETS={MAX_TARGETS} "
        f"MODES=20 MONITOR={MAX_WATCHED} NAMELEN={MAX_TEXT['name']} NETWORK={server.network} NICKLEN={NICKLEN} "
        f"PREFIX=({letters}){symbols} STATUSMSG={symbols} TOPICLEN={MAX_TEXT['topic']} USERLEN=10 WHOX"
    ).split() + [token for token, shown in rare.items() if shown]
