"""Lines of text and how large each part of one may be; the words of the numerics.

What all other files here build on; it knows nothing of sockets and users. Limits are in bytes where no other unit is
named, since IRC counts so. Follows https://modern.ircdocs.horse/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

MAX_BODY, MAX_TAGS = 510, 4096  # bytes of a line without CR LF: the classic 512, and the tags a client may send
MAX_TEXT = {"topic": 390, "away": 200, "kick": 300, "name": 100}  # bytes
NICKLEN, CHANNELLEN, MAX_CHANNELS, MAX_BANS, MAX_TARGETS, MAX_LOG = 30, 64, 100, 100, 20, 10_000
MAX_WATCHED = 100  # nicks in one MONITOR list
FLAGS = "imnst"  # channel modes without a parameter

_PLAIN_CAPS = """account-notify account-tag away-notify batch cap-notify chghost echo-message extended-join
invite-notify message-tags multi-prefix server-time setname standard-replies userhost-in-names"""
# Offered from the start. What else the server can, a test offers: `labeled-response`, `draft/multiline` with its limits
# (`MULTILINE`), and those that settings of `Server` switch on (`draft/chathistory`, `sts`).
CAPS = dict.fromkeys(_PLAIN_CAPS.split(), "") | {"sasl": "PLAIN"}
MULTILINE = "max-bytes=4096,max-lines=24"
# Any other tag: message-tags.
TAG_CAPS = {"time": "server-time", "account": "account-tag", "batch": "batch", "label": "labeled-response"}
NO_TAGS: Mapping[str, str] = {}
TAG_ESCAPES = str.maketrans({";": r"\:", " ": r"\s", "\\": r"\\", "\r": r"\r", "\n": r"\n"})

_WORDS = """
401 No such nick/channel | 403 No such channel | 404 Cannot send to channel | 405 You have joined too many channels
| 406 There was no such nickname | 407 Too many targets | 409 No origin specified | 410 Invalid CAP command
| 411 No recipient given | 412 No text to send | 417 Input line was too long | 421 Unknown command
| 422 MOTD File is missing | 431 No nickname given | 432 Erroneous nickname | 433 Nickname is already in use
| 436 Nickname collision | 437 Nick/channel is temporarily unavailable | 439 Target change too fast
| 441 They aren't on that channel | 442 You're not on that channel | 443 is already on channel
| 447 Nick changes are not allowed here | 451 You have not registered | 461 Not enough parameters
| 462 You may not reregister | 464 Password incorrect | 471 Cannot join channel (+l) | 472 is unknown mode char to me
| 473 Cannot join channel (+i) | 474 Cannot join channel (+b) | 475 Cannot join channel (+k)
| 477 Cannot join channel (+r) | 478 Channel ban list is full | 481 Permission denied: you're not an IRC operator
| 482 You're not channel operator | 491 No operators on this server | 501 Unknown MODE flag
| 502 Can't change mode for other users | 902 You must use a nick assigned to you | 904 SASL authentication failed
| 905 SASL message too long | 906 SASL authentication aborted | 907 You have already authenticated using SASL
"""
ERRORS = {row.strip()[:3]: row.strip()[4:] for row in _WORDS.split("|")}

# Verbs with one answer for everybody: numerics with their parameters, `{}` being that of the verb, and their text.
CANNED: dict[str, list[tuple[str, list[str], str | None]]] = {
    "ADMIN": [("256", [], "Who runs this server"), ("259", [], "The person at the keyboard")],
    "INFO": [("371", [], "The embedded server of neverquit"), ("374", [], "End of /INFO list")],
    "KILL": [("481", [], None)],
    "LINKS": [("365", ["{}"], "End of /LINKS list")],
    "MAP": [("017", [], "End of /MAP")],
    "OPER": [("491", [], None)],
    "STATS": [("219", ["{}"], "End of /STATS report")],
    "WHOWAS": [("406", ["{}"], None), ("369", ["{}"], "End of WHOWAS")],
}


def cut(raw: bytes, limit: int) -> bytes:
    """The longest beginning of `raw` within `limit` bytes that does not end inside a UTF-8 sequence."""
    while len(raw) > limit > 0 and raw[limit] & 0xC0 == 0x80:
        limit -= 1
    return raw[:limit]


def shorten(text: str, what: str) -> str:
    return cut(text.encode("utf-8", "replace"), MAX_TEXT[what]).decode()


def compose(source: str, command: str, params: Iterable[str], text: str | None) -> str:
    """A line without its tags; a parameter that may not stand in the middle is bent until it may."""
    middle = [param.split(" ")[0].lstrip(":") or "*" for param in params]
    return " ".join([f":{source}", command, *middle, *([] if text is None else [f":{text}"])])


def chunks(words: Iterable[str], max_bytes: int = 400) -> Iterator[str]:
    """The words joined by spaces, in as few lines as fit; no words, no line."""
    line = ""
    for word in words:
        if line and len(f"{line} {word}".encode("utf-8", "replace")) > max_bytes:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    if line:
        yield line
