"""A bot whose worker is killed all the time: `python -m benchmarks chaos [--minutes 10]`.

Two hundred commands a second in five channels. The worker is killed from outside every three seconds, half of the
times between a handler's effect and the end of its line, and plugins are saved meanwhile. Then commands that end the
worker among commands that don't; then hangs. It ends with a verdict: every command answered exactly once and in order,
stores right, PING answered, one connection. Last, what the two processes cost beside one.

    plugins  the files, and the commands they answer
    ledger   who was asked what and what came of it; pure
    stage    the server, the bot, and the one who asks
    play     the three runs: deaths, poison, hangs
    beside   a round trip and memory in two processes and in one
    verdict  all of it, as tables and faults
"""
