"""IRC as values and pure functions: no sockets, no asyncio, no clock of its own (`now` is an argument).

    message       one line <-> `Message`; `safe`, the choke-point test of everything that goes out
    casemap       when two nicks or channels are the same; hostmasks
    isupport      what the server said about itself (005)
    modes         a MODE line as single changes
    numerics      names for the three-digit replies
    identity      who we want to be, and which nicks to try
    registration  CAP, SASL, NICK, USER until 001, fed with messages, answering with messages
    login         where we stand with our services account
    sasl          the mechanisms of SASL, and one attempt by one of them
    scram         the steps of SCRAM
    sts           which hosts are spoken to by TLS only
    people        users and channels, and when a nick is still the same person
    answers       what the server says about them when it is asked: NAMES, WHO, WHOX, topic, modes
    splits        netsplits: who was lost with a server, and is back
    batches       which lines belong together, and which of them were said before
    servertime    lines that were said long before they came
    roster        who is where, what we know of them, and whom the server vouches for
    formatting    colours, and cutting a long text into lines that fit
    sendqueue     the pace of sending

Import the file that defines a name. Floor 1: may import `bot.errors` and each other, nothing above.
"""
