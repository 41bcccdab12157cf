"""The way to IRC and back: the keeper that holds the sockets, the link, and the worker's connection on top of it.

`link` is what keeper and worker say to each other, `keeper` one end of it, `connection` the other; `registering`,
`reconnect`, `identify`, `regain`, `rejoin`, `outbox`, `speech` and `alarms` are the parts of a connection that can be
understood, and tested, alone.
"""
