"""A bot under load while its plugins are saved all the time: `python -m benchmarks soak [--minutes 10]`.

Two hundred commands a second, about a thousand reloads a minute: good versions, broken ones, a shared module, a
package, `!reload`, in turn. It ends with a verdict: every command answered exactly once, versions never back, memory,
threads, tasks and descriptors as they were.

    plugins  the files, each in any version, and the commands they answer
    ledger   who was asked what and what came of it; pure
    saves    the reloads, one after another, each with the outcome that it must have
    stage    the server, the bot, and the two who sit in its channel
    verdict  what is measured meanwhile, the two runs, and the judgement
"""
