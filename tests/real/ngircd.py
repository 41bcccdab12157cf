"""ngircd 26: a small server of the old kind. No accounts, no SASL, no message tags, CASEMAPPING=ascii, TLS on loopback.

    async with NgIRCd(tmp_path) as server:
        usr = await Client.connect(server.host, server.plain_port, "usr")

A registration takes up to 1.0 s here too.
"""

from __future__ import annotations

from .ircd import Ircd, find, free_ports

CONFIG = """
[Global]
    Name = irc.real.test
    Info = a server for tests
    Network = RealTest
    AdminInfo1 = tests
    AdminEMail = tests@real.test
    Listen = 127.0.0.1
    Ports = {plain}
    MotdPhrase = none
[Limits]
    ConnectRetry = 60
    MaxConnections = 0
    MaxConnectionsIP = 0
    MaxJoins = 0
    MaxNickLength = 30
    MaxPenaltyTime = 0
    PingTimeout = 120
    PongTimeout = 60
[Options]
    DNS = no
    Ident = no
    PAM = no
    RequireAuthPing = no
[SSL]
    CertFile = {room}/certificate.pem
    KeyFile = {room}/key.pem
    Ports = {tls}
"""


class NgIRCd(Ircd):
    """The server alone; everybody is a stranger to it."""

    async def launch(self) -> None:
        self.plain_port, self.tls_port = free_ports(2)
        config = self.write("ngircd.conf", CONFIG.format(room=self.room, plain=self.plain_port, tls=self.tls_port))
        process = await self.run(find("ngircd") or "ngircd", "--nodaemon", "--config", str(config))
        await process.printed(f"Now listening on [127.0.0.1]:{self.tls_port}")
