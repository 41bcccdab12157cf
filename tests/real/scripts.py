"""What people say to both servers of the cross-check: `nick: line`, a channel of its own for each script."""

from __future__ import annotations

import re


def _script(text: str) -> list[tuple[str, str]]:
    text = re.sub(r"{x(\d+)}", lambda count: "x" * int(count[1]), text)
    lines = (line.strip().partition(": ") for line in text.strip().splitlines())
    return [(nick, line) for nick, _, line in lines]


SCRIPTS = {
    name: _script(text)
    for name, text in {
        "channels": """
            ann: JOIN #a
            bob: JOIN #A
            cat: JOIN #a
            ann: TOPIC #a
            ann: TOPIC #a :fish & chips
            bob: TOPIC #a
            bob: TOPIC #a :mine
            bob: NAMES #a
            ann: NAMES #a
            bob: NAMES #none
            ann: MODE #a +v bob
            ann: NAMES #a
            bob: NAMES #a
            bob: PART #a
            bob: PART #a
            bob: PART #none
            bob: TOPIC #none
            bob: JOIN #a
            cat: PART #a :so long
            ann: KICK #a cat
            ann: KICK #a bob :out
            ann: KICK #a nobody
            ann: TOPIC #a :
            ann: TOPIC #a
            ann: JOIN #a
            ann: JOIN nochannel
            ann: JOIN #x,#y
            ann: PART #x,#y
            bob: INVITE ann #a
            ann: INVITE cat #a
            cat: JOIN #a
            ann: INVITE cat #a
            ann: INVITE nobody #a
            ann: INVITE bob #none
            ann: JOIN
            ann: PART
            ann: KICK #a
            bob: LIST #none
        """,
        "modes": """
            ann: JOIN #m
            bob: JOIN #m
            ann: MODE #m
            bob: MODE #m +m
            ann: MODE #m +m
            bob: PRIVMSG #m :hush
            ann: MODE #m +v bob
            bob: PRIVMSG #m :aloud
            ann: MODE #m +k sesame
            cat: JOIN #m
            cat: JOIN #m wrong
            cat: JOIN #m sesame
            ann: MODE #m
            ann: MODE #m -k sesame
            ann: MODE #m +l 5
            ann: MODE #m -l
            ann: MODE #m -l
            ann: MODE #m +o-v bob bob
            ann: MODE #m +o nobody
            ann: MODE #m +b cat!*@*
            ann: MODE #m +b
            ann: MODE #m b
            cat: PRIVMSG #m :banned
            ann: MODE #m -b cat!*@*
            ann: MODE #m +b *!*@nowhere.example
            ann: MODE #m -b *!*@elsewhere.example
            ann: MODE #m +i
            cat: PART #m
            cat: JOIN #m
            ann: INVITE cat #m
            cat: JOIN #m
            ann: MODE #m -i-m+s
            ann: MODE #m +z
            ann: MODE #none
            ann: MODE ann
            ann: MODE ann +i
            ann: MODE ann
            ann: MODE ann -i
            ann: MODE bob
            ann: MODE bob +i
            ann: MODE nobody
            ann: MODE
        """,
        "talking": """
            ann: JOIN #t
            bob: JOIN #t
            ann: PRIVMSG #t :hello  there
            ann: PRIVMSG bob :psst
            ann: NOTICE bob :note
            bob: PRIVMSG #t,ann :both
            bob: PRIVMSG ann,nobody :one of them
            bob: PRIVMSG nobody :hi
            bob: NOTICE nobody :hi
            bob: PRIVMSG #none :hi
            bob: PRIVMSG #t
            bob: PRIVMSG
            bob: PRIVMSG #t :
            cat: PRIVMSG #t :from outside
            bob: PRIVMSG @#t :ops
            ann: PRIVMSG +#t :voices
            ann: @+typing=active TAGMSG #t
            ann: @+draft/reply=abc PRIVMSG #t :answer
            cat: JOIN #t
            ann: @+typing=done TAGMSG #t
            ann: @+draft/reply=abc PRIVMSG #t :answer
            ann: PRIVMSG ann :myself
            bob: PRIVMSG bob :myself
            ann: AWAY :fishing
            bob: PRIVMSG ann :there?
            bob: NOTICE ann :there?
            ann: AWAY
            cat: SETNAME :Cat the Third
            ann: SETNAME :Ann
        """,
        "asking": """
            ann: JOIN #w
            bob: JOIN #w
            ann: MODE #w +v bob
            bob: AWAY :gone
            cat: WHO #w
            ann: WHO #w
            ann: WHO bob
            ann: WHO nobody
            ann: WHO #none
            ann: WHO #w %tcuhnfa,152
            ann: WHO bob %na
            cat: WHOIS bob
            ann: WHOIS bob bob
            ann: WHOIS nobody
            ann: WHOIS
            ann: WHOWAS nobody
            ann: USERHOST bob nobody ann
            ann: ISON bob nobody cat
            ann: FOO
            ann: PING
            ann: MOTD
            ann: VERSION
            ann: TIME
            ann: USER a b c d
            ann: PASS x
            ann: OPER a b
        """,
        "secret": """
            ann: JOIN #s
            ann: MODE #s +s
            ann: TOPIC #s :hidden
            bob: NAMES #s
            bob: WHO #s
            bob: TOPIC #s
            bob: MODE #s
            bob: LIST #s
            bob: WHOIS ann
            bob: WHO ann
            bob: PART #s
            bob: INVITE cat #s
            bob: PRIVMSG #s :hello?
            ann: LIST #s
            ann: MODE #s -n
            bob: PRIVMSG #s :from outside
            bob: NOTICE #s :from outside
            ann: MODE #s -t+n-s
            bob: JOIN #s
            bob: TOPIC #s :anybody may
            bob: INVITE cat #s
            ann: MODE #s +i
            bob: INVITE cat #s
            ann: MODE #s +vv bob nobody
            ann: MODE #s -v+v bob bob
            ann: MODE #s +o
            ann: MODE #s +l x
            ann: MODE #s +k
            ann: MODE #s +bb bob!*@* cat
            ann: MODE #s b
            bob: NICK dan
            ann: MODE #s -vbb bob bob!*@* cat!*@*
            bob: NICK dan
            bob: NICK bob
            ann: PRIVMSG #s :\x01ACTION waves\x01
            ann: privmsg #S :lower case
            ann: PRIVMSG  #s   :blanks
            ann: :ann PRIVMSG #s :with a source
            ann: PRIVMSG #s word
            ann: JOIN #s,#s2,bad
            ann: PART #s2 :gone
            ann: NAMES #s,#s2
            ann: ISON
            ann: USERHOST
            ann: WHO
            ann: TOPIC
            ann: INVITE bob
            ann: MONITOR
            ann: NOTICE
            ann: TAGMSG #s
            ann: @+a TAGMSG
            ann: SETNAME
            ann: AWAY :
        """,
        "lengths": """
            ann: JOIN #long
            bob: JOIN #long
            ann: PRIVMSG #long :{x500}
            ann: PRIVMSG #long :{x520}
            bob: PRIVMSG #long :{x495}
            ann: @+a={x4000} PRIVMSG #long :hi
            ann: @+a={x4100} PRIVMSG #long :hi
            ann: @+b=;+c=\\:\\s\\\\\\r;+d PRIVMSG #long :tags
            cat: @+b=;+c=\\:\\s\\\\\\r;+d;e=f PRIVMSG ann :tags
        """,
        "leaving": """
            ann: JOIN #q
            bob: JOIN #q
            cat: JOIN #q
            cat: AWAY :asleep
            *: CHGHOST bob new.example
            bob: PRIVMSG #q :from there
            cat: PRIVMSG #q :with an account
            cat: NICK dan
            bob: QUIT :so long
            cat: JOIN 0
            cat: QUIT
        """,
        "nicks": """
            ann: JOIN #n
            bob: JOIN #n
            bob: NICK ann
            bob: NICK
            bob: NICK 1a
            bob: NICK Bob
            bob: NICK dan
            bob: NICK bob
            bob: CAP LIST
            bob: CAP REQ :server-time nonsense
            bob: CAP REQ :setname
            bob: CAP REQ :-setname
            bob: CAP FOO
            bob: CAP END
            cat: MONITOR + ann,dan
            cat: MONITOR L
            ann: NICK dan
            ann: NICK ann
            cat: MONITOR S
            cat: MONITOR - dan
            cat: MONITOR C
            cat: MONITOR L
            ann: AUTHENTICATE PLAIN
        """,
        "labels": """
            ann: @label=a JOIN #l
            bob: JOIN #l
            ann: @label=b PRIVMSG #l :hi
            ann: @label=c PRIVMSG bob :hi
            ann: @label=d PRIVMSG nobody :hi
            ann: @label=e PRIVMSG #l,bob :both
            ann: @label=f WHO #l
            ann: @label=g PONG x
            ann: @label=h FOO
            ann: @label=i MODE #l +v bob
            ann: @label=j AWAY :x
            ann: @label=k AWAY
            ann: @label=l WHOIS bob
            ann: @label=m TOPIC #l
            ann: @label=n PRIVMSG ann :me
            ann: @label=o NICK nan
            ann: @label=p NICK ann
            bob: @label=q PRIVMSG #l :no tags
            cat: @label=r PRIVMSG ann :no labels
        """,
    }.items()
}

# Connections from their first line to their last; `... 376 422` waits for one of these.
_END = "... 376 422"
OPENINGS = {
    "plain": ["NICK ann", "USER ann 0 * :Ann", _END, "PING x"],
    "early": ["JOIN #a", "PRIVMSG #a :x", "NICK 1a", "NICK ann", "FOO", "PING x", "PONG x", "USER ann", "NICK"],
    "negotiated": ["CAP LS 302", "NICK ann", "USER a 0 * :A", "CAP REQ :setname chghost", "CAP END", _END, "CAP LIST"],
    "refused": ["CAP LS", "CAP REQ :nonsense setname", "CAP LIST", "NICK ann", "USER ann 0 * :Ann", "CAP END", _END],
    "held": ["CAP LS 302", "NICK ann", "USER ann 0 * :Ann", "CAP REQ :setname", "CAP LIST"],
    "login": [
        *("CAP LS 302", "CAP REQ sasl", "AUTHENTICATE PLAIN", "... AUTHENTICATE", "AUTHENTICATE {right}", "... 903"),
        *("NICK ann", "USER ann 0 * :Ann", "CAP END", _END),
    ],
    "wrong": ["CAP REQ sasl", "AUTHENTICATE PLAIN", "... AUTHENTICATE", "AUTHENTICATE {wrong}", "... 904"],
    "unknown mechanism": ["CAP REQ sasl", "AUTHENTICATE NOSUCH", "... 904"],
    "aborted": ["CAP REQ sasl", "AUTHENTICATE PLAIN", "... AUTHENTICATE", "AUTHENTICATE *", "... 906"],
    "too long": ["CAP REQ sasl", "AUTHENTICATE PLAIN", "... AUTHENTICATE", "AUTHENTICATE " + "x" * 401, "... 905"],
    "without the capability": ["AUTHENTICATE PLAIN"],
}
