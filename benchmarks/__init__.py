"""How fast neverquit is, beside what this machine can do at all and beside a bare bot: `python -m benchmarks`.

Everything is measured in one run, on loopback, against real processes:

    relay     the IRC server, as little of one as passes a line on; a process of its own
    rig       starts and ends processes, and holds the one who asks: a blocking socket, which saves the files as well
    sources   the plugins that are loaded and saved, about 100 lines each
    floor     a bot that does nothing but what a save can't do without: inotify, compile, exec, answer
    bare      a bot of twenty lines on the `irc` package, with its asyncio and with its select reactor
    probe     the bot with clocks around the stages of a reload, for the table of where the time goes only
    measures  the measurements, each one function
    figures   medians, and the table

What the figures mean, and a run to compare with: docs/measurements.md.
"""
