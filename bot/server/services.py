"""`NickServ`: a service that people talk to, as Atheme has it; it makes nobody wait and keeps nothing.

    NickServ(server)

It is a user without a socket: what others would be sent is handled as a request. Accounts and passwords are those of
the server; a nick belongs to the account of that name. It knows IDENTIFY, LOGOUT, GHOST, REGAIN, RELEASE and HELP,
answers by NOTICE, and tells who comes with a nick of somebody else's that it is registered.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from bot.protocol.message import Message
from bot.server.lines import NO_TAGS
from bot.server.peer import Peer
from bot.server.server import Server

HELP = "IDENTIFY [account] password, LOGOUT, GHOST nick [password], REGAIN nick [password], RELEASE nick [password]"


class NickServ(Peer):
    """Is `Server.nickserv` once it is made; `Server.services_leave` and `services_return` take it away and back."""

    def __init__(self, server: Server, nick: str = "NickServ") -> None:
        super().__init__(server)
        self.nick, self.ident, self.host, self.realname = nick, nick, f"services.{server.name}", "accounts"
        self.registered = True
        server.nickserv = server.nicks[server.fold(nick)] = self

    def send(self, body: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        heard = Message.parse(body)
        peer = self.server.find(heard.source.nick) if heard.source else None
        if peer is not None and peer is not self and heard.command == "PRIVMSG":
            self.asked(peer, heard.param(1).split())

    def tell(self, peer: Peer, text: str) -> None:
        self.server.relay([peer], self, "NOTICE", peer.nick, text=text)

    def meet(self, peer: Peer) -> None:
        """Somebody has come or has taken another nick."""
        if self.server.account_named(peer.nick) not in ("", peer.account):
            self.tell(
                peer,
                "This nickname is registered. Please choose a different nickname, or identify via "
                f"\x02/msg {self.nick} IDENTIFY {peer.nick} <password>\x02",
            )

    def asked(self, peer: Peer, words: list[str]) -> None:
        verb, *rest = words or ["HELP"]
        match verb.upper(), rest:
            case "IDENTIFY", [password]:
                self.identify(peer, peer.nick, password)
            case "IDENTIFY", [name, password]:
                self.identify(peer, name, password)
            case "LOGOUT", []:
                peer.log_in("")
                self.tell(peer, "You have been logged out.")
            case "GHOST" | "REGAIN" | "RELEASE", [nick, *password] if len(password) < 2:
                self.free(peer, verb.upper(), nick, "".join(password))
            case _:
                self.tell(peer, f"I know {HELP}.")

    def identify(self, peer: Peer, name: str, password: str) -> None:
        account = self.server.account_named(name)
        if not self.fits(account, password):
            return self.tell(peer, f"Invalid password for \x02{name}\x02.")
        peer.log_in(account)
        return self.tell(peer, f"You are now identified for \x02{account}\x02.")

    def fits(self, account: str, password: str) -> bool:
        return bool(account) and hmac.compare_digest(self.server.accounts[account].encode(), password.encode())

    def free(self, peer: Peer, verb: str, nick: str, password: str) -> None:
        """Take a nick from who has it, and with REGAIN give it to who asks."""
        server = self.server
        account, holder = server.account_named(nick), server.find(nick)
        if not account or not (peer.account == account or self.fits(account, password)):
            return self.tell(peer, f"You are not authorized to do that: \x02{nick}\x02 is not yours.")
        if holder is peer or (holder is None and verb == "GHOST"):
            return self.tell(peer, f"\x02{nick}\x02 is not used by anybody else.")
        server.held.pop(server.fold(nick), None)
        if holder:
            holder.leave(f"Killed ({self.nick} ({verb} command used by {peer.nick}))")
        if verb == "REGAIN":
            server.rename(peer, nick)
        words = {"GHOST": "has been ghosted", "REGAIN": "has been regained", "RELEASE": "has been released"}
        return self.tell(peer, f"\x02{nick}\x02 {words[verb]}.")
