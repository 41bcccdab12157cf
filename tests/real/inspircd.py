"""InspIRCd 3 with Atheme 7.2 services: accounts, SASL PLAIN, account-tag, TLS, all on loopback.

    async with InspIRCd(tmp_path) as server:
        place = server.host, server.tls_port
        adm = await Client.connect(*place, "adm", tls=server.tls(), account="adm", password=PASSWORD)

The accounts `adm` and `neverquit` exist with the password PASSWORD. A registration takes 1.0 s here (the server looks
at waiting clients once a second), so tests connect their clients side by side.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from .client import Client
from .ircd import Ircd, find, free_ports

PASSWORD = "quite-a-secret"
ACCOUNTS = ("adm", "neverquit")

MODULES = """
ssl_gnutls sslinfo spanningtree cap ircv3 ircv3_accounttag ircv3_batch ircv3_capnotify ircv3_chghost ircv3_ctctags
ircv3_echomessage ircv3_invitenotify ircv3_labeledresponse ircv3_msgid ircv3_servertime services_account sasl setname
monitor namesx uhnames botmode chanhistory svshold chghost servprotect topiclock
"""

IRCD = """
<path configdir="{room}" datadir="{room}" logdir="{room}" runtimedir="{room}" moduledir="{modules}">
<pid file="{room}/inspircd.pid">
<server name="irc.real.test" description="a server for tests" id="00A" network="RealTest">
<admin name="tests" nick="tests" email="tests@real.test">
<bind address="127.0.0.1" port="{plain}" type="clients">
<bind address="127.0.0.1" port="{tls}" type="clients" sslprofile="Clients">
<bind address="127.0.0.1" port="{servers}" type="servers">
<sslprofile name="Clients" provider="gnutls" certfile="{room}/certificate.pem" keyfile="{room}/key.pem"
            requestclientcert="yes" hash="sha256">
<connect name="all" allow="*" timeout="60" pingfreq="120" fakelag="no" commandrate="100000000" threshold="10000"
         hardsendq="100M" softsendq="100M" recvq="1M" localmax="100" globalmax="100" maxconnwarn="off"
         resolvehostnames="no" useident="no" usednsbl="no">
<options defaultmodes="not" casemapping="rfc1459">
<uline server="services.real.test">
<sasl target="services.real.test" requiressl="no">
<link name="services.real.test" ipaddr="127.0.0.1" port="{servers}" allowmask="127.0.0.0/8"
      sendpass="link-secret" recvpass="link-secret">
<log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="ircd.log">
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
    no_nick_ownership; nick = "NickServ"; user = "NickServ"; host = "services.real.test"; real = "accounts";
}};
saslserv {{ nick = "SaslServ"; user = "SaslServ"; host = "services.real.test"; real = "sasl"; }};
general {{ silent; flood_msgs = 0; commit_interval = 5; }};
"""


class InspIRCd(Ircd):
    """The ircd and its services, linked, with the accounts made."""

    async def launch(self) -> None:
        self.plain_port, self.tls_port, servers = free_ports(3)
        values = {"room": self.room, "plain": self.plain_port, "tls": self.tls_port, "servers": servers}
        load = "\n".join(f'<module name="{name}">' for name in MODULES.split())
        ircd = self.write("inspircd.conf", IRCD.format(**values, modules=module_folder(), load=load))
        services = self.write("atheme.conf", SERVICES.format(servers=servers))
        process = await self.run(find("inspircd") or "inspircd", f"--config={ircd}", "--nofork")
        await process.printed("is now running")
        room = str(self.room)
        options = ["-n", "-c", str(services), "-D", room, "-l", f"{room}/atheme.log", "-p", f"{room}/atheme.pid"]
        await self.run(find("atheme-services") or "atheme-services", *options)
        await self._services_linked()
        await asyncio.gather(*(self._make_account(name) for name in ACCOUNTS))

    async def _services_linked(self) -> None:
        """Services are there when the server offers `sasl`: at once, or with CAP NEW when they link."""
        watcher = Client("watcher")
        await watcher.open(self.host, self.plain_port)
        watcher.send("CAP LS 302")
        await watcher.expect(
            lambda line: line.command == "CAP" and line.params[1] in ("LS", "NEW") and "sasl" in line.text,
            what="the offer of sasl",
        )
        await watcher.close()

    async def _make_account(self, name: str) -> None:
        async with await Client.connect(self.host, self.plain_port, f"seed-{name}") as client:
            client.say("NickServ", f"REGISTER {name} {PASSWORD} {name}@real.test")
            await client.numeric("900")


def module_folder() -> Path:
    """Where the package keeps InspIRCd's modules: multiarch folders on newer Debian, /usr/lib/inspircd before."""
    for folder in (*Path("/usr/lib").glob("*/inspircd"), *Path("/usr/lib").glob("*/inspircd/modules")):
        if (folder / "core_user.so").exists():
            return folder
    return Path("/usr/lib/inspircd/modules")
