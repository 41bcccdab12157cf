"""bot/wire/bare.py: what waits for another connection."""

from __future__ import annotations

import pytest

from bot.wire.bare import bare


@pytest.mark.parametrize(
    ("lines", "plain"),
    [
        (b"PRIVMSG #a :x", b"PRIVMSG #a :x"),
        (b"@label=1;+reply=2 PRIVMSG #a :x", b"PRIVMSG #a :x"),
        (b"PRIVMSG #a :@label=1 x", b"PRIVMSG #a :@label=1 x"),
        (b"PRIVMSG #a :BATCH x", b"PRIVMSG #a :BATCH x"),
        (
            b"@label=1 BATCH +n draft/multiline #a\r@batch=n PRIVMSG #a :x\r@batch=n PRIVMSG #a :y\rBATCH -n",
            b"PRIVMSG #a :x\nPRIVMSG #a :y",
        ),
        (b"PRIVMSG #a :x\nPRIVMSG #a :y", b"PRIVMSG #a :x\nPRIVMSG #a :y"),
    ],
)
def test_tags_and_frames_go_and_each_line_stands_alone(lines: bytes, plain: bytes) -> None:
    assert bare(lines) == plain
    assert bare(plain) == plain
