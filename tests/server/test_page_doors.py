"""Who gets the page, what a browser may do with it, and who can use it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from pyomni.server import front
from pyomni.server.front import FILES


def test_every_file_says_what_a_browser_may_do_with_it(served):
    client = served()
    assert len(FILES) > 10
    for path in FILES:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] in (
            "text/html",
            "text/css",
            "text/javascript",
            "image/svg+xml",
        )
        policy = dict(
            one.strip().split(" ", 1) for one in answer.headers["content-security-policy"].split(";")
        )
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == (
            "'none'",
            "'self'",
            "'self'",
        )
        assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in str(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "microphone=(self)" in answer.headers["permissions-policy"]
        assert client.head(path).status_code == 200
        assert client.post(path).status_code == 405


@pytest.mark.parametrize(
    "path", ["/page/", "/page/front.py", "/page/../front.py", "/page/%2e%2e/front.py", "/page//etc/passwd"]
)
def test_nothing_else_is_served(served, path):
    assert served().get(path).status_code == 404


def test_the_page_needs_no_key_but_all_it_asks_for_does(served):
    client = served(api_key="secret")
    for path in FILES:
        answer = client.get(path)
        assert answer.status_code == 200
        assert b"secret" not in answer.content
    assert client.get("/v1/pyomni/about").status_code == 401
    assert client.get("/page/x").status_code == 401
    assert client.get("/v1/pyomni/about", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_pages_of_other_hosts_get_nothing(served):
    client = served()
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        for path in ("/", "/v1/pyomni/about"):
            assert client.get(path, headers=headers).status_code == 401
    here = client.get("/v1/pyomni/about", headers={"Origin": "http://127.0.0.1:8080"})
    assert here.status_code == 200
    assert "access-control-allow-origin" not in here.headers


def test_another_sites_page_gets_no_speech_in_a_browser(browser, running):
    host, port, state = running()
    context = browser.new_context()
    page = context.new_page()
    page.route("http://evil.example/", lambda route: route.fulfill(body="<title>evil</title>"))
    page.goto("http://evil.example/")
    became = page.evaluate(
        """async (address) => {
            const body = JSON.stringify({ input: "Hello.", response_format: "pcm" });
            const outcomes = [];
            for (const mode of ["no-cors", "cors"]) {
                try {
                    const answer = await fetch(address, { method: "POST", mode, body });
                    outcomes.push(answer.type);
                } catch (error) { outcomes.push(error.name); }
            }
            return outcomes;
        }""",
        f"http://{host}:{port}/v1/audio/speech",
    )
    context.close()
    assert became[0] in ("opaque", "TypeError")
    assert became[1] == "TypeError"
    assert state.requests == 0  # refused at the door


@pytest.mark.parametrize(
    ("kind", "takes"),
    [
        (None, {"kind": "custom_voice", "instructions": False, "needs_description": False, "clones": False}),
        ("base", {"kind": "base", "instructions": False, "needs_description": False, "clones": True}),
        (
            "voice_design",
            {"kind": "voice_design", "instructions": True, "needs_description": True, "clones": False},
        ),
    ],
)
def test_about_says_what_the_model_takes(served, kind, takes):
    client = served(kind=kind, max_chars=500)
    about = client.get("/v1/pyomni/about").json()
    assert takes.items() <= about.items()
    assert about["max_chars"] == 500
    assert about["sample_rate"] == 24000
    assert "english" in about["languages"]
    assert about["speeds"] == [0.25, 4.0]
    assert about["formats"] == ["mp3", "opus", "aac", "flac", "wav", "pcm"]


def test_about_leaves_out_what_needs_a_package_that_is_not_there(served, monkeypatch):
    for module in (front.aac, front.tempo):
        monkeypatch.setattr(module, "why_not", lambda: "it is not installed")
    about = served().get("/v1/pyomni/about").json()
    assert about["speeds"] is None
    assert about["formats"] == ["mp3", "opus", "flac", "wav", "pcm"]


# --- with a key -------------------------------------------------------------------------------------------


def test_a_key_is_asked_for_checked_and_kept_in_the_tab(visit):
    seen, _ = visit(expected=("status of 401",), api_key="open sesame")
    page = seen.page
    expect(page.locator("#key")).to_be_focused()
    expect(page.locator("#alert")).to_have_text("")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_contain_text("The API key is missing or wrong")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type("open sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Ready.")
    expect(page.locator("#alert")).to_have_text("")
    expect(page.locator("#door")).to_be_hidden()
    expect(page.locator("#text")).to_be_focused()
    page.click("#speak")
    expect(page.locator("#status")).to_contain_text("made in")
    page.reload()
    expect(page.locator("#status")).to_have_text("Ready.")
    assert page.evaluate("[localStorage.length, document.cookie, location.search]") == [0, "", ""]
    page.click("#forget")
    expect(page.locator("#door")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    page.keyboard.type("schlüssel €")
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_have_text("The API key has a letter that no key can have.")


# --- for everyone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "context", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 320, "height": 640}}]
)
def test_axe_finds_nothing(visit, context):
    def check() -> None:
        found = Axe().run(seen.page)
        assert found.response["violations"] == [], found.generate_report()

    seen, _ = visit(expected=("status of 401",), context=context, kind="base", api_key="k")
    page = seen.page
    expect(page.locator("#door")).to_be_visible()
    check()
    page.fill("#key", "k")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Ready.")
    check()
    page.fill("#seed", "x")
    page.click("#speak")
    expect(page.locator("#alert")).not_to_have_text("")
    check()
    page.fill("#seed", "")
    page.click("#speak")
    seen.until("heard.blocks.length > 0")
    page.click("#stop")
    expect(page.locator("#again")).to_have_attribute("aria-disabled", "false")
    check()
    page.click("#new-voice")
    page.click("#keep")
    expect(page.locator("#clone-alert")).not_to_have_text("")
    check()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_is_enough(visit):
    seen, _ = visit(kind="base", lanes=1)
    page = seen.page
    expect(page.locator("#status")).to_have_text("Ready.")
    order = []
    for _ in range(11):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid", order[-1]
    assert order == [
        "text",
        "voice",
        "new-voice",
        "language",
        "seed",
        "speed",
        "speak",
        "stop",
        "again",
        "format",
        "download",
    ]
    page.focus("#text")
    page.keyboard.press("Control+a")
    page.keyboard.type("Hello there.")
    page.keyboard.press("Control+Enter")
    seen.until("heard.blocks.length > 0")
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_contain_text("Stopped after")
    expect(page.locator("#text")).to_be_focused()
    page.focus("#new-voice")
    page.keyboard.press("Enter")
    expect(page.locator("#clone-name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#new-voice")).to_be_focused()
    page.focus("#speak")
    page.keyboard.press("Space")
    seen.until("document.getElementById('status').textContent === 'Speaking…'")
    expect(page.locator("#speak")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Stopped after")
    expect(page.locator("#stop")).to_be_focused()


def test_who_wants_no_motion_gets_none(visit):
    seen, _ = visit(context={"reduced_motion": "reduce"})
    page = seen.page
    expect(page.locator("#status")).to_have_text("Ready.")
    assert page.evaluate("getComputedStyle(document.getElementById('speak')).transitionDuration") == "0s"
    page.click("#speak")
    expect(page.locator("#status")).to_contain_text("made in")
    expect(page.locator("#stop")).to_have_attribute("aria-disabled", "true")  # heard to its end all the same
