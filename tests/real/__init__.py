"""The bot as a program against IRC servers that others wrote: InspIRCd with Atheme, and ngircd, as Debian has them.

`ircd` holds what both servers share, `inspircd` and `ngircd` start one each, `client` is an IRC client of our own that
knows nothing of `bot`, `program` runs the bot as a subprocess, and `scenarios` holds the tests that both servers run.
`crosscheck` and `scripts` are about the bot's own server: does it say what InspIRCd says?
"""

import pytest

pytest.register_assert_rewrite(f"{__name__}.scenarios")
