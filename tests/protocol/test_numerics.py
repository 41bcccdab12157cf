"""numerics.py: a table without slips."""

from __future__ import annotations

import pytest

from bot.protocol import numerics

NAMES = {name: value for name, value in vars(numerics).items() if name.isupper()}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_a_reply_or_an_error_of_three_digits(name: str) -> None:
    assert name.startswith(("RPL_", "ERR_"))
    assert len(NAMES[name]) == 3 and NAMES[name].isdecimal()


def test_no_number_has_two_names() -> None:
    assert len(set(NAMES.values())) == len(NAMES)
