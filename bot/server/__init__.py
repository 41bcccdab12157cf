"""A small IRC server: what `neverquit demo`, the tests and the plugin authors' test kit talk to.

It follows https://modern.ircdocs.horse/, https://ircv3.net/irc/ (what of it: `CAPS`) and the WHOX of ircu. One server,
no operators; accounts are a dictionary (for SASL and `services`) or what a test says with `Server.login`.
Parsing lines and folding names is left to `protocol/`; nothing here knows the bot.

    lines                     lines of text and their sizes; the words of numerics
    faults                    what is done wrong on purpose, `Faults`
    link                      one socket: bytes to lines and back
    verbs                     the table of what a client may say
    peer                      the user behind a socket; a channel
    announced                 capabilities, and the tokens of 005
    registering, sasl         verbs: who somebody is (with scram, ecdsa)
    channels, modes           verbs: where they are
    talking, asking           verbs: what they say, and want to know
    multiline, history        verbs: a message of several lines; what was said before
    monitor                   verb: who comes and goes
    splits                    a netsplit and its end
    services                  `NickServ`
    record                    the log, and waiting for a line of it
    server                    `Server`, which a test holds
    client                    `Client`, the other end
"""

from __future__ import annotations

import bot.server.asking
import bot.server.channels
import bot.server.modes
import bot.server.registering
import bot.server.sasl
import bot.server.talking  # noqa: F401  # these six enter their verbs into the table
from bot.server.client import Client as Client
from bot.server.faults import GARBAGE as GARBAGE
from bot.server.faults import Faults as Faults
from bot.server.lines import MAX_BODY as MAX_BODY
from bot.server.lines import MULTILINE as MULTILINE
from bot.server.lines import cut as cut
from bot.server.link import Link as Link
from bot.server.link import Logged as Logged
from bot.server.peer import Channel as Channel
from bot.server.peer import Peer as Peer
from bot.server.server import Server as Server
from bot.server.verbs import VERBS as VERBS
from bot.server.verbs import Refused as Refused
