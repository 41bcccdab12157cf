"""isupport.py: valid tokens count, the rest is ignored, nothing raises and nothing grows without limit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.protocol.isupport import ChanModes, Isupport


def told(*tokens: str) -> Isupport:
    isupport = Isupport()
    isupport.apply(tokens)
    return isupport


def test_before_the_server_speaks_the_defaults_of_the_rfc_hold() -> None:
    isupport = Isupport()
    assert isupport.casemapping == "rfc1459"
    assert dict(isupport.prefixes) == {"@": "o", "+": "v"}
    assert (isupport.chantypes, isupport.statusmsg, isupport.network) == ("#&", "", "")
    assert (isupport.nicklen, isupport.linelen, isupport.whox) == (9, 512, False)
    assert isupport.tokens == {}


def test_prefixes_stand_in_order_of_rank() -> None:
    assert list(told("PREFIX=(qaohv)~&@%+").prefixes.items()) == list(zip("~&@%+", "qaohv", strict=True))


def test_an_empty_prefix_means_no_ranks() -> None:
    assert dict(told("PREFIX=").prefixes) == {}
    assert dict(told("PREFIX=()").prefixes) == {}


@pytest.mark.parametrize(
    "token",
    [
        *("PREFIX=ov", "PREFIX=(ov)@", "PREFIX=(oo)@+", "PREFIX=(ov)@@", "PREFIX=(o", "PREFIX=(\u00e9)@"),
        *("NICKLEN=", "NICKLEN=x", "NICKLEN=-1", "NICKLEN=0", "NICKLEN=\u0663", "NICKLEN=" + "9" * 500),
        *("LINELEN=1e9", "CASEMAPPING=", "CHANMODES=b,k,l,m n", "CHANTYPES=\u00a3", "NETWORK="),
    ],
)
def test_a_value_without_sense_leaves_the_one_before_in_force(token: str) -> None:
    sane = ("PREFIX=(qo)~@", "CASEMAPPING=ascii", "NICKLEN=31", "LINELEN=2048", "CHANMODES=b,k,l,m", "CHANTYPES=#")
    before, after = told(*sane, "NETWORK=n"), told(*sane, "NETWORK=n", token)
    for name in Isupport.__slots__:
        assert getattr(after, name) == getattr(before, name)


def test_a_token_that_is_taken_back_has_its_default_again() -> None:
    isupport = told("PREFIX=(q)~", "NICKLEN=31", "WHOX", "-PREFIX", "-NICKLEN", "-WHOX", "-NEVERSAID")
    assert dict(isupport.prefixes) == {"@": "o", "+": "v"}
    assert (isupport.nicklen, isupport.whox, isupport.tokens) == (9, False, {})


def test_tokens_without_value_are_kept() -> None:
    assert told("WHOX", "EXCEPTS").tokens == {"WHOX": "", "EXCEPTS": ""}
    assert told("WHOX").whox


def test_escapes_are_read_and_can_never_be_line_ends() -> None:
    assert told(r"NETWORK=Some\x20Net\x3dx").network == "Some Net=x"
    assert told(r"NETWORK=a\x0d\x0ab\x00\x9f").network == r"a\x0d\x0ab\x00\x9f"
    assert told("NETWORK=a\\x").network == "a\\x"


@pytest.mark.parametrize("name", ["LOAD", "SET", "REMOVE", "__CLASS__", "TOKENS", "APPLY", "CHANLIMIT", "MAXLIST"])
def test_no_name_of_a_token_touches_the_object(name: str) -> None:
    isupport = told(f"{name}=1")
    isupport.apply(["NICKLEN=20"])
    assert isupport.tokens == {name: "1", "NICKLEN": "20"}
    assert isupport.nicklen == 20


def test_limits_hold() -> None:
    isupport = told(*(f"T{number}=x" for number in range(5000)), "X=" + "y" * 5000, "z" * 5000)
    assert len(isupport.tokens) == 256
    isupport.apply(["T0=new"])
    assert isupport.tokens["T0"] == "new"
    isupport.apply(["PREFIX=(q)~"])
    assert isupport.prefixes == {"~": "q"}, "what means something to us is never crowded out"


def test_a_line_length_is_never_below_512_nor_above_what_we_read() -> None:
    assert [told(f"LINELEN={value}").linelen for value in (100, 2048, 99999)] == [512, 2048, 16_384]


def test_channel_modes_are_four_groups() -> None:
    assert told("CHANMODES=beI,k,lf,mnt").chanmodes == ChanModes("beI", "k", "lf", "mnt")
    assert told("CHANMODES=b,k").chanmodes == ChanModes("b", "k", "", "")
    assert told("CHANMODES=a,b,c,d,e,f").chanmodes == ChanModes("a", "b", "c", "d")


def test_a_channel_is_what_the_server_calls_one() -> None:
    isupport = told("CHANTYPES=#")
    assert isupport.is_channel("#c")
    assert not any(map(isupport.is_channel, ("&x", "c", "", "@#c", "+#c")))
    assert not told("CHANTYPES=").is_channel("#c")


def test_a_rank_sign_before_a_channel_is_split_off_where_the_server_knows_it() -> None:
    isupport = told("STATUSMSG=@+", "CHANTYPES=#")
    assert isupport.split_status("@#c") == ("@", "#c")
    assert isupport.split_status("#c") == ("", "#c")
    assert isupport.split_status("@alice") == ("", "@alice")
    assert isupport.split_status("") == ("", "")
    assert Isupport().split_status("@#c") == ("", "@#c")
    assert told("STATUSMSG=@+", "CHANTYPES=#+").split_status("+#c") == ("", "+#c"), "who is there is not in #c"


@given(st.lists(st.text() | st.from_regex(r"\A-?(PREFIX|CHANMODES|NICKLEN|LINELEN|WHOX)=?.*\Z"), max_size=8))
@settings(deadline=None, max_examples=150)
def test_nothing_that_a_server_says_raises(tokens: list[str]) -> None:
    isupport = told(*tokens)
    isupport.is_channel("#c")
    isupport.split_status("@#c")


def test_the_mapping_is_told_in_any_case() -> None:
    assert told("CASEMAPPING=ASCII").casemapping == "ascii"
