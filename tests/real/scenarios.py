"""What the bot must do on every server: the tests that `test_inspircd` and `test_ngircd` both run.

One server, one bot and three people serve all tests of a module (a registration costs a second), so each test has
plugin names of its own and asks nothing of the order. The people: `boss`, who is the admin; `usr`, who is nobody; and
`adm`, who bears the admin's account name as a nick and is nobody either. All sit in #lab, where the bot reports.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client import Client, Line
from .ircd import Ircd
from .program import Program, connections_to

BOT = "neverquit"
LAB = "#lab"
RELOADS = 100


@dataclass
class Scene:
    """The server, the running bot and the people in the channel."""

    server: Ircd
    program: Program
    boss: Client
    usr: Client
    adm: Client

    def save(self, name: str, answer: str) -> None:
        """Write a plugin file with one command, named as the file, that answers `answer`."""
        self.write(name, f'"""A plugin of the tests."""\nfrom bot import command\n\n\n@command("{name}")\n'
                         f'async def answer(ctx):\n    return "{answer}"\n')  # fmt: skip

    def write(self, name: str, source: str) -> None:
        (self.program.plugins / f"{name}.py").write_text(source)

    def delete(self, name: str) -> None:
        (self.program.plugins / f"{name}.py").unlink()

    async def report(self, pattern: str) -> None:
        await self.usr.heard(pattern, to=LAB)

    async def answers(self, command: str, text: str) -> None:
        await self.usr.ask(LAB, f"!{command}", text)

    async def new(self, name: str, answer: str) -> None:
        """Save a new plugin and see it reported and answering."""
        self.save(name, answer)
        await self.report(rf"{name} loaded g1 \(\w+\).*")
        await self.answers(name, answer)

    async def quiet(self, *lines: str) -> None:
        """`usr` says lines that must have no answer: the next thing heard of the bot is what it answers after them."""
        if not (self.program.plugins / "after.py").exists():
            await self.new("after", "all done")
        mark = self.usr.mark()
        for line in lines:
            self.usr.say(LAB, line)
        await self.answers("after", "all done")
        assert [line.text for line in self.of_bot(self.usr, mark)] == ["all done"]

    def of_bot(self, client: Client, mark: int = 0, *commands: str) -> list[Line]:
        lines = client.since(mark, *(commands or ("PRIVMSG", "NOTICE")))
        return [line for line in lines if line.nick == BOT]


def config(network: dict[str, Any], admin: dict[str, Any]) -> dict[str, Any]:
    """A configuration with one network, unpaced (a hundred reports at two seconds each would be a long test)."""
    network = {"host": "127.0.0.1", "channels": [LAB], "flood": False, **network}
    return {
        "nick": BOT,
        "admins": [admin],
        "networks": {"real": network},
        "plugins": {"directories": ["plugins"]},
        "reload": {"report_to": f"real/{LAB}"},
        "state_dir": "state",
        "log": {"level": "debug"},
    }


@contextlib.asynccontextmanager
async def opened(server: Ircd, folder: Path, settings: dict[str, Any], boss: dict[str, Any]) -> AsyncIterator[Scene]:
    """Start the bot and connect the people side by side; ends with the bot stopped by SIGTERM, exit code 0."""
    program = Program(folder, settings)
    await program.start()
    try:
        people = await asyncio.gather(
            Client.connect(server.host, server.tls_port, "boss", tls=server.tls(), **boss),
            Client.connect(server.host, server.plain_port, "usr"),
            Client.connect(server.host, server.plain_port, "adm"),
        )
        for client in people:
            await client.join(LAB)
        await program.during(people[1].sees(BOT, LAB))
        yield Scene(server, program, *people)
        await asyncio.gather(*(client.close() for client in people))
    finally:
        code = await program.stop()
    assert code == 0, f"SIGTERM gave exit code {code}:\n{program.told()}"


class Scenarios:
    """Inherit in a module with a fixture `scene`."""

    async def test_answers_a_command_of_another_client(self, scene: Scene) -> None:
        await scene.new("greet", "hello there")

    async def test_answers_in_private_without_a_prefix(self, scene: Scene) -> None:
        await scene.new("whisper", "just for you")
        await scene.usr.ask(BOT, "whisper", "just for you")

    async def test_a_saved_edit_is_live(self, scene: Scene) -> None:
        await scene.new("edited", "one")
        scene.save("edited", "two")
        await scene.report(r"edited g1 -> g2 \(\w+ -> \w+\): .*\d+ ms")
        await scene.answers("edited", "two")

    async def test_a_broken_save_is_told_and_the_old_version_goes_on(self, scene: Scene) -> None:
        await scene.new("broken", "still me")
        scene.write("broken", "from bot import command\n\ndef answer(ctx)\n    return 1\n")
        await scene.report(r"broken stays g1: broken\.py:3: SyntaxError: .*; the old version goes on answering")
        await scene.answers("broken", "still me")
        scene.save("broken", "mended")
        await scene.report(r"broken g1 -> g2 .*")
        await scene.answers("broken", "mended")

    async def test_a_plugin_that_fails_while_it_is_imported_is_told_with_its_line(self, scene: Scene) -> None:
        await scene.new("raises", "unharmed")
        scene.write("raises", "from bot import command\n\n1 / 0\n")
        await scene.report(r"raises stays g1: raises\.py:3: ZeroDivisionError: .*; the old version goes on answering")
        await scene.answers("raises", "unharmed")

    async def test_a_deleted_file_takes_its_commands_along(self, scene: Scene) -> None:
        await scene.new("shortlived", "here")
        scene.delete("shortlived")
        await scene.report(r"shortlived unloaded.*")
        await scene.quiet("!shortlived")

    async def test_an_admin_reloads_by_command(self, scene: Scene) -> None:
        """Unchanged content too: asked for by name, it is a new generation; the line comes once, not twice."""
        await scene.new("asked", "same as before")
        mark = scene.boss.mark()
        await scene.boss.ask(LAB, "!reload asked", r"asked g1 -> g2 .*")
        await scene.boss.ask(LAB, "!asked", "same as before")
        assert len([line for line in scene.of_bot(scene.boss, mark) if "-> g2" in line.text]) == 1

    async def test_an_admin_reloads_in_private(self, scene: Scene) -> None:
        """Who asked gets the line where they asked; the channel gets its report as well."""
        await scene.new("discreet", "same as ever")
        await scene.boss.ask(BOT, "reload discreet", r"discreet g1 -> g2 .*")
        await scene.report(r"discreet g1 -> g2 .*")

    async def test_a_stranger_may_not_reload(self, scene: Scene) -> None:
        await scene.new("guarded", "mine")
        await scene.usr.ask(LAB, "!reload guarded", r"!?reload: admins only")
        await scene.usr.ask(LAB, "!version guarded", r"guarded g1 .*")

    async def test_the_nick_of_an_admin_is_no_right(self, scene: Scene) -> None:
        await scene.new("coveted", "mine")
        await scene.adm.ask(LAB, "!reload coveted", r"!?reload: admins only")
        await scene.usr.ask(LAB, "!version coveted", r"coveted g1 .*")

    async def test_a_long_answer_arrives_whole(self, scene: Scene) -> None:
        """Cut to what the server relays with the prefix that it adds; no word is lost, no letter torn."""
        words = [f"na\u00efve\u2603{number}" for number in range(200)]
        scene.save("lengthy", " ".join(words))
        await scene.report("lengthy loaded g1 .*")
        mark = scene.usr.mark()
        scene.usr.say(LAB, "!lengthy")
        heard: list[str] = []
        while len(heard) < len(words):
            heard += (await scene.usr.heard("(na.*)", to=LAB))[1].split(" ")
        assert heard == words
        assert max(len(line.raw.encode()) + 2 for line in scene.of_bot(scene.usr, mark)) <= 512

    async def test_a_channel_that_it_is_told_to_join_and_to_leave(self, scene: Scene) -> None:
        await scene.new("there", "I am here")
        await scene.usr.join("#side")
        scene.boss.say(LAB, "!join #side")
        await scene.usr.sees(BOT, "#side")
        await scene.usr.ask("#side", "!there", "I am here")
        scene.boss.say(LAB, "!part #side")
        await scene.usr.expect(lambda line: line.command == "PART" and line.nick == BOT, what="PART")

    async def test_the_connection_lasts_through_a_hundred_reloads(self, scene: Scene) -> None:
        """Half of them saves, half commands: the same socket, the same sign-on, and nobody saw the bot leave, ever."""
        await scene.new("often", "version 1")
        sockets, begun = connections_to(scene.server.tls_port), scene.usr.mark()
        signed_on = (await scene.usr.whois(BOT))["317"].params[3]
        for generation in range(2, RELOADS + 2):
            if generation % 2:
                scene.boss.say(LAB, "!reload often")
            else:
                scene.save("often", f"version {generation}")
            await scene.report(rf"often g{generation - 1} -> g{generation} .*")
            await scene.answers("often", f"version {generation - generation % 2}")
        await scene.usr.barrier()
        assert (await scene.usr.whois(BOT))["317"].params[3] == signed_on
        assert len(sockets) == 2  # boss and the bot
        assert connections_to(scene.server.tls_port) == sockets
        assert scene.of_bot(scene.usr, begun, "QUIT", "PART", "NICK", "KICK", "JOIN") == []
