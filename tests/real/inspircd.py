"""InspIRCd 3 with Atheme 7.2 services: accounts, SASL PLAIN, account-tag, TLS, all on loopback.

    async with InspIRCd(tmp_path) as server:
        place = server.host, server.tls_port
        adm = await Client.connect(*place, "adm", tls=server.tls(), account="adm", password=PASSWORD)

The accounts in ACCOUNTS exist with the password PASSWORD, and own the nicks of these names; whoever shows the client
certificate is `neverquit`, too. A registration takes 1.0 s here (the server looks at waiting clients once a second),
so tests connect their clients side by side. The services can go and come back while the server stays.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from .client import Client
from .ircd import Ircd, Process, find, fingerprint, free_ports, make_certificate

PASSWORD = "quite-a-secret"
ACCOUNTS = ("adm", "neverquit", "wanted")

MODULES = """
ssl_gnutls sslinfo spanningtree cap ircv3 ircv3_accounttag ircv3_batch ircv3_capnotify ircv3_chghost ircv3_ctctags
ircv3_echomessage ircv3_invitenotify ircv3_labeledresponse ircv3_msgid ircv3_servertime services_account sasl setname
monitor namesx uhnames botmode chanhistory svshold chghost servprotect topiclock
"""

IRCD = """
<path configdir="{room}" datadir="{room}" logdir="{room}" runtimedir="{room}" moduledir="{modules}">
<pid file="{room}/{name}.pid">
<server name="{name}" description="a server for tests" id="{id}" network="RealTest">
<admin name="tests" nick="tests" email="tests@real.test">
<bind address="127.0.0.1" port="{plain}" type="clients">
<bind address="127.0.0.1" port="{tls}" type="clients" sslprofile="Clients">
<bind address="127.0.0.1" port="{servers}" type="servers">
<sslprofile name="Clients" provider="gnutls" certfile="{room}/certificate.pem" keyfile="{room}/key.pem"
            requestclientcert="yes" hash="sha256">
<connect name="all" allow="*" timeout="60" pingfreq="120" fakelag="no" commandrate="100000000" threshold="1000000"
         hardsendq="100M" softsendq="100M" recvq="1M" localmax="100" globalmax="100" maxconnwarn="off"
         resolvehostnames="no" useident="no" usednsbl="no">
<options defaultmodes="not" casemapping="rfc1459">
<uline server="services.real.test">
<sasl target="services.real.test" requiressl="no">
<link name="services.real.test" ipaddr="127.0.0.1" port="{servers}" allowmask="127.0.0.0/8"
      sendpass="link-secret" recvpass="link-secret">
<link name="{other}" ipaddr="127.0.0.1" port="{peer}" allowmask="127.0.0.0/8"
      sendpass="link-secret" recvpass="link-secret">
{more}
<log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="{name}.log">
{load}
"""

SERVICES = """
loadmodule "modules/protocol/inspircd";
loadmodule "modules/backend/opensex";
loadmodule "modules/crypto/pbkdf2v2";
loadmodule "modules/nickserv/main";
loadmodule "modules/nickserv/register";
loadmodule "modules/nickserv/identify";
loadmodule "modules/nickserv/cert";
loadmodule "modules/nickserv/logout";
loadmodule "modules/nickserv/enforce";
loadmodule "modules/saslserv/main";
loadmodule "modules/saslserv/plain";
loadmodule "modules/saslserv/external";

serverinfo {{
    name = "services.real.test"; desc = "services"; numeric = "00B"; recontime = 1; netname = "RealTest";
    hidehostsuffix = "users.real.test"; adminname = "tests"; adminemail = "tests@real.test"; mta = "/bin/true";
    loglevel = {{ error; info; }}; maxlogins = 100; maxusers = 100; mdlimit = 30; emaillimit = 10; emailtime = 300;
    auth = none; casemapping = rfc1459;
}};
uplink "irc.real.test" {{
    host = "127.0.0.1"; port = {servers}; send_password = "link-secret"; receive_password = "link-secret";
}};
nickserv {{
    nick = "NickServ"; user = "NickServ"; host = "services.real.test"; real = "accounts";
}};
saslserv {{ nick = "SaslServ"; user = "SaslServ"; host = "services.real.test"; real = "sasl"; }};
general {{ silent; flood_msgs = 0; commit_interval = 5; }};
"""


NAMES = ("irc.real.test", "two.real.test")


class InspIRCd(Ircd):
    """The ircd and its services, linked, with the accounts made.

    Attributes:
        second_port: of `two.real.test`, once it is linked.
        second: its process.
        client_certificate, client_key: of who is `neverquit` by certificate.
    """

    async def launch(self) -> None:
        self.plain_port, self.tls_port, self._servers_port = free_ports(3)
        await self._ircd(NAMES[0], "00A", self.plain_port, self.tls_port, self._servers_port)
        (self.kept / "client").mkdir(exist_ok=True)
        self.client_certificate, self.client_key = make_certificate(self.kept / "client")
        await self.start_services()
        await asyncio.gather(*(self._make_account(name) for name in ACCOUNTS))

    async def _ircd(self, name: str, number: str, plain: int, tls: int, servers: int, more: str = "") -> Process:
        values = {"room": self.room, "plain": plain, "tls": tls, "servers": servers, "name": name, "id": number}
        values["peer"] = self._servers_port
        load = "\n".join(f'<module name="{module}">' for module in MODULES.split())
        other = NAMES[name == NAMES[0]]
        text = IRCD.format(**values, modules=module_folder(), load=load, more=more, other=other)
        config = self.write(f"{name}.conf", text)
        process = await self.run(find("inspircd") or "inspircd", f"--config={config}", "--nofork")
        await process.printed("is now running")
        return process

    async def start_second(self) -> None:
        """Start another server of the same network; it links within some seconds, see `second_linked`."""
        self.second_port, tls, listening = free_ports(3)
        link = f'<autoconnect period="1" server="{NAMES[0]}">'
        self.second = await self._ircd(NAMES[1], "00C", self.second_port, tls, listening, link)

    async def second_linked(self) -> None:
        """Wait until the first server has the second."""
        async with await Client.connect(self.host, self.plain_port, "linked") as watcher:
            while not any(NAMES[1] in line.raw for line in watcher.lines if line.command == "364"):
                watcher.send("LINKS")
                await watcher.numeric("365")

    async def start_services(self, *more: str) -> None:
        """Start the services, with `more` modules; return when the server offers `sasl`.

        This server tells those who are connected (CAP NEW) only if there are other mechanisms than ever before.
        """
        room = str(self.room)
        modules = "".join(f'loadmodule "modules/{name}";\n' for name in more)
        config = self.write("atheme.conf", modules + SERVICES.format(servers=self._servers_port))
        options = ["-n", "-c", str(config), "-D", room, "-l", f"{room}/atheme.log", "-p", f"{room}/atheme.pid"]
        self._services = await self.run(find("atheme-services") or "atheme-services", *options)
        await self._offers_sasl(True)

    async def stop_services(self) -> None:
        """End the services; return when the server knows. It stops offering `sasl`, but tells nobody (no CAP DEL)."""
        await self._services.stop()
        await self._offers_sasl(False)

    async def _offers_sasl(self, yes: bool) -> None:
        watcher = Client("watcher")
        await watcher.open(self.host, self.plain_port)
        offered = not yes
        while offered is not yes:
            watcher.send("CAP LS 302")
            offered = "sasl" in (await watcher.expect(lambda line: line.command == "CAP", what="CAP LS")).text
        await watcher.close()

    async def _make_account(self, name: str) -> None:
        async with await Client.connect(self.host, self.plain_port, name) as client:
            client.say("NickServ", f"REGISTER {PASSWORD} {name}@real.test")
            await client.numeric("900")
            if name == ACCOUNTS[1]:
                client.say("NickServ", f"CERT ADD {fingerprint(self.client_certificate)}")
                await client.heard(".*fingerprint.*", by="NickServ")


def module_folder() -> Path:
    """Where the package keeps InspIRCd's modules: multiarch folders on newer Debian, /usr/lib/inspircd before."""
    for folder in (*Path("/usr/lib").glob("*/inspircd"), *Path("/usr/lib").glob("*/inspircd/modules")):
        if (folder / "core_user.so").exists():
            return folder
    return Path("/usr/lib/inspircd/modules")
