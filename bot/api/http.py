"""The shared HTTP client of all plugins: one aiohttp session, made at the first request and closed with the bot.

    page = await http.text("https://example.org/")
    data = await http.json("https://example.org/x.json", params={"q": "tea"})

A bot without such a plugin never imports aiohttp (its import costs about 100 ms and 15 MB). Limits, so that no page can
hang or fill the bot: 20 s a request, 1 MiB a body, 5 redirects.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.errors import UserError

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_SECONDS = 20.0
MAX_BODY_BYTES = 1 << 20
shared: ContextVar[bool] = ContextVar("shared", default=False)  # what opens now is the bot's, whoever has asked for it


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, headers (lower-case names), and the body, at most 1 MiB of it."""

    status: int
    url: str
    headers: dict[str, str]
    body: bytes
    charset: str = "utf-8"

    @property
    def text(self) -> str:
        """The body as text, by the charset that the server named; by UTF-8 where there is no such thing."""
        try:
            return self.body.decode(self.charset, "replace")
        except (LookupError, ValueError):  # servers name `none`, `hex`, `utf8mb4`
            return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; raises `UserError` where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise UserError(f"{self.url} did not answer with JSON") from None


class Http:
    """GET, POST and the like; a request that fails raises `UserError` with a sentence for the channel."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, **options: Any
    ) -> Response:
        """Send a request; `options` are those of `aiohttp.ClientSession.request` (params, json, data, headers, auth).

        Raises:
            UserError: no answer in time, no connection, no such host, or a body over 1 MiB.
        """
        import aiohttp

        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(headers={"User-Agent": "neverquit"})
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        options.setdefault("max_redirects", 5)
        token = shared.set(True)
        try:
            async with self._session.request(method, url, timeout=timeout, **options) as answer:
                body = await answer.content.read(MAX_BODY_BYTES + 1)
                while len(body) <= MAX_BODY_BYTES and (
                    more := await answer.content.read(MAX_BODY_BYTES + 1 - len(body))
                ):
                    body += more
                if len(body) > MAX_BODY_BYTES:
                    raise UserError(f"{answer.url.host} sent more than 1 MiB")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, str(answer.url), headers, body, answer.charset or "utf-8")
        except TimeoutError:
            raise UserError(f"no answer within {timeout_seconds:g} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise UserError(f"the request failed: {error}") from None
        finally:
            shared.reset(token)

    async def get(self, url: str, **options: Any) -> Response:
        """GET a page, whatever its status."""
        return await self.request("GET", url, **options)

    async def post(self, url: str, **options: Any) -> Response:
        """POST `json=` or `data=`."""
        return await self.request("POST", url, **options)

    async def text(self, url: str, **options: Any) -> str:
        """GET a page's text; raises `UserError` for a status of 400 or more."""
        return _good(await self.get(url, **options)).text

    async def json(self, url: str, **options: Any) -> Any:
        """GET JSON; raises `UserError` for a status of 400 or more, or another kind of body."""
        return _good(await self.get(url, **options)).json()

    async def close(self) -> None:
        """Close the session; the next request would open another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _good(response: Response) -> Response:
    if response.status >= 400:
        raise UserError(f"the page answered {response.status}")
    return response


http = Http()
