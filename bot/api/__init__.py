"""All that a plugin author writes or receives; `from bot import ...` is the only door to it.

    declare     decorators that mark a function and do nothing else
    events      one IRC line as the events it stands for
    context     what a handler is handed: where it is, and how to answer
    arguments   a command line, read by the signature of the function
    checks      who is an admin
    kept        state: `keep` in memory over reloads, `store` on disk over restarts
    durations   "1h30m" as seconds
    http        the shared HTTP client

This floor knows IRC (`protocol/`) and nothing of tables, files or sockets.
"""
