"""How fast and how steady neverquit is, beside what this machine can do at all and beside a bare bot.

    python -m benchmarks [--quick] [--markdown] [NAME...]

Everything is measured on loopback, against real processes that are spoken to from outside:

    reload/   how fast a change is live, by way of saving, length and number; what it costs meanwhile
    commands  a command's round trip, and how many at once
    start     the time and the memory of a start
    repeat/   the ways in which files get written, many times each: no torn load; a verdict
    soak/     commands and reloads by the thousand: nothing lost, nothing twice, nothing left behind; a verdict
    chaos/    workers that are killed, poisoned and hang under load: everything answered once; a verdict

and what they share:

    relay     the IRC server, as little of one as passes a line on; a process of its own
    rig       starts and ends processes, and holds the one who asks: a blocking socket, which saves the files as well
    sources   the plugins that are loaded and saved, of any length, and ways of saving them
    bare      a bot of twenty lines on the `irc` package, with its asyncio and with its select reactor
    vitals    memory, threads, descriptors and children of a process, and the trend of a row of samples
    faults    what must not be, by kind
    figures   medians, and the table

What the figures mean, and a run to compare with: docs/measurements.md.
"""
