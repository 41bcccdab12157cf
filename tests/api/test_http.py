"""bot/api/http.py: the shared client, against a small server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bot.api.http import MAX_BODY_BYTES, Http
from bot.errors import UserError


class Site:
    """A few pages that do what pages do."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.hang = asyncio.Event()
        self.url = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(f"{request.method} {request.path_qs} {await request.text()}".rstrip())
        match request.path:
            case "/json":
                return web.json_response({"tea": request.query.get("tea")})
            case "/latin":
                return web.Response(body="é".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin-1"})
            case "/odd":
                return web.Response(body=b"\xff", headers={"Content-Type": "text/plain; charset=utf-8"})
            case "/nonsense":
                charset = request.query["charset"]
                return web.Response(body=b"x", headers={"Content-Type": f"text/plain; charset={charset}"})
            case "/404":
                return web.Response(status=404, text="nothing here")
            case "/round":
                raise web.HTTPFound("/round")
            case "/moved":
                raise web.HTTPFound("/json")
            case "/hang":
                await self.hang.wait()
            case "/agent":
                return web.Response(text=request.headers["User-Agent"])
            case path if path.startswith("/big/"):
                return web.Response(body=b"x" * int(path.removeprefix("/big/")))
        return web.Response(text="hello", headers={"X-Thing": "Yes"})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = web.Server(made)
    runner = web.ServerRunner(server)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.hang.set()
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http()
    yield made
    await made.close()


async def test_get_gives_status_headers_and_body(site: Site, http: Http) -> None:
    answer = await http.get(f"{site.url}/")
    assert (answer.status, answer.text, answer.headers["x-thing"]) == (200, "hello", "Yes")


async def test_get_gives_a_page_whatever_its_status(site: Site, http: Http) -> None:
    answer = await http.get(f"{site.url}/404")
    assert (answer.status, answer.text) == (404, "nothing here")


async def test_post_sends_json(site: Site, http: Http) -> None:
    await http.post(f"{site.url}/", json={"a": 1})
    assert site.heard == ['POST / {"a": 1}']


async def test_text_and_json_give_the_content(site: Site, http: Http) -> None:
    assert await http.text(f"{site.url}/") == "hello"
    assert await http.json(f"{site.url}/json", params={"tea": "green"}) == {"tea": "green"}


@pytest.mark.parametrize("method", ["text", "json"])
async def test_a_bad_status_is_a_sentence_for_the_channel(site: Site, http: Http, method: str) -> None:
    with pytest.raises(UserError, match=r"^the page answered 404$"):
        await getattr(http, method)(f"{site.url}/404")


async def test_what_is_not_json_is_a_sentence_for_the_channel(site: Site, http: Http) -> None:
    with pytest.raises(UserError, match="did not answer with JSON"):
        await http.json(f"{site.url}/")


async def test_the_text_is_read_by_the_charset_that_the_server_names(site: Site, http: Http) -> None:
    assert await http.text(f"{site.url}/latin") == "é"


async def test_bytes_that_do_not_fit_the_charset_are_replaced(site: Site, http: Http) -> None:
    assert await http.text(f"{site.url}/odd") == "\ufffd"


@pytest.mark.parametrize("charset", ["none", "utf8mb4", "hex", "undefined", "idna"])
async def test_a_charset_that_is_none_is_read_as_utf_8(site: Site, http: Http, charset: str) -> None:
    assert await http.text(f"{site.url}/nonsense?charset={charset}") == "x"


async def test_a_redirect_is_followed(site: Site, http: Http) -> None:
    answer = await http.get(f"{site.url}/moved")
    assert answer.url == f"{site.url}/json"


async def test_redirects_without_end_are_given_up_after_five(site: Site, http: Http) -> None:
    with pytest.raises(UserError, match="the request failed"):
        await http.get(f"{site.url}/round")
    assert len(site.heard) <= 6


async def test_a_body_of_one_mebibyte_is_taken_and_a_byte_more_is_refused(site: Site, http: Http) -> None:
    assert len((await http.get(f"{site.url}/big/{MAX_BODY_BYTES}")).body) == MAX_BODY_BYTES
    with pytest.raises(UserError, match="sent more than 1 MiB"):
        await http.get(f"{site.url}/big/{MAX_BODY_BYTES + 1}")


async def test_a_page_that_hangs_is_given_up(site: Site, http: Http) -> None:
    with pytest.raises(UserError, match=r"^no answer within 0\.05 s$"):
        await http.get(f"{site.url}/hang", timeout_seconds=0.05)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "no url", "http://", "ftp://example.org/", "http://[::1", ""])
async def test_a_page_that_cannot_be_reached_is_a_sentence_for_the_channel(http: Http, url: str) -> None:
    with pytest.raises(UserError, match=r"the request failed|no answer"):
        await http.get(url)


async def test_it_says_who_is_asking(site: Site, http: Http) -> None:
    assert await http.text(f"{site.url}/agent") == "neverquit"


async def test_all_requests_share_one_session_and_closing_ends_it(site: Site, http: Http) -> None:
    await http.get(f"{site.url}/")
    session = http._session
    await http.get(f"{site.url}/")
    assert http._session is session is not None
    await http.close()
    assert session.closed
    assert await http.text(f"{site.url}/") == "hello"


async def test_closing_what_was_never_used_is_nothing(http: Http) -> None:
    await http.close()
    await http.close()
    assert http._session is None
