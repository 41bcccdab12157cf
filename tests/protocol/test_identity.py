"""identity.py: the nicks to try."""

from __future__ import annotations

from bot.protocol.identity import MOST_NICKS, Identity


def test_the_wanted_nick_comes_first_then_the_alternatives_then_what_is_made_of_it() -> None:
    assert list(Identity("bot", ("robot", "bot")).nicks()) == [
        *("bot", "robot", "bot_", "bot__", "bot_1", "bot_2", "bot_3", "bot_4"),
    ]


def test_made_up_nicks_differ_within_the_nine_letters_that_every_server_takes() -> None:
    made = list(Identity("neverquit").nicks())
    assert len({nick[:9] for nick in made}) >= len(made) - 1  # `neverquit_` is as long as the wanted one
    assert all(len(nick) <= 9 for nick in made[2:])


def test_however_many_alternatives_there_are_less_than_ten_are_tried_and_short_ones_among_them() -> None:
    nicks = list(Identity("neverquit", tuple(f"alternative{n}" for n in range(40))).nicks())
    assert len(nicks) == MOST_NICKS < 10
    assert "neverqu__" in nicks


def test_no_secret_is_in_the_repr() -> None:
    assert "hunter2" not in repr(Identity("bot", password="hunter2"))
