"""From an event to a finished handler.

    table       the immutable index of all live handlers, and what of it an event wakes
    rules       all rules in one pass
    pipeline    the steps around one call: permission, limit, arguments, time-out, errors
    outlet      the lines that one call says: splitting, `!more`, their numbers
    limits      how often a user may
    relay       plain `def` functions, off the loop
    scheduler   jobs that keep their due time

Nothing here knows where plugins come from (`live/`) or how lines travel (`wire/`).
"""
