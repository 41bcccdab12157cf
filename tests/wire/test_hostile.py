"""What servers and people may try on purpose: nobody gains by it, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path

from talk import talking

MANY = "@command('many')\ndef many(ctx): return map(str, range(20))"


async def test_the_rest_of_a_private_answer_is_not_for_who_has_the_nick_next(tmp_path: Path) -> None:
    async with talking(tmp_path, MANY, reply_lines=3) as talk:
        await talk.up()
        assert (await talk.said("!many", to="neverquit"))[-1] == "PRIVMSG bob :2 (+17 more: !more)"
        assert await talk.said("more", "bob!e@vil", "neverquit") == ["PRIVMSG bob :there is nothing more to tell"]
        assert (await talk.said("more", to="neverquit"))[0] == "PRIVMSG bob :3"
