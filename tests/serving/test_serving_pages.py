"""The OpenAPI document and the page for people."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest

from kftext.models import Output
from kftext.serving.sagemaker import SUPPORTED
from serving.browser import CHROMIUM, Page, browse
from serving.processes import Served


@pytest.fixture(scope="module")
def document(server: Served):
    answer = server.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_the_document_is_whole(document):
    assert document["openapi"].startswith("3.1")
    found = set(references(document))
    assert found
    for reference in found:
        place = document
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]


def test_every_documented_route_exists(document, server: Served):
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            url = path.replace("{model}", "sentiment")
            answer = server.client.request(method, url, content=b"{}")
            assert answer.status_code not in (404, 405, 500), (method, path, answer.text)
            assert str(answer.status_code) in operation["responses"]
            if "{model}" in path:
                answer = server.client.request(method, path.replace("{model}", "nobody"), json={})
                assert answer.status_code == 404
                assert set(answer.json()) >= {"error"}


def test_the_documented_example_is_answered(document, server: Served):
    content = document["paths"]["/v1/models/{model}:predict"]["post"]["requestBody"]["content"]
    answer = server.predict("sentiment", content["application/json"]["example"])
    assert len(answer.json()["predictions"][0]["label"]) == 2


def test_the_document_names_what_the_server_takes(document):
    invocations = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert tuple(invocations) == SUPPORTED
    output = document["components"]["schemas"]["Configuration"]["properties"]["output"]
    assert output["enum"] == list(Output)


def test_the_page_needs_nobody_else(server: Served):
    answer = server.client.get("/ui")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert set(re.findall(r"https?://[^\"]*", answer.text)) == {"http://www.w3.org/2000/svg"}
    assert server.client.head("/ui").content == b""


@pytest.fixture(scope="module")
def page(server: Served, tmp_path_factory):
    if not CHROMIUM:
        pytest.skip("no chromium (on Debian: apt-get install chromium)")
    with browse(tmp_path_factory.mktemp("browser")) as page:
        page.open(f"{server.url}/ui")
        page.wait("document.querySelectorAll('#model option').length === 3")
        yield page


def choose(page: Page, model: str, output: str = "") -> None:
    for field, value in (("model", model), ("output", output)):
        if value:
            page.run(
                f"(() => {{ const e = document.getElementById('{field}'); e.value = '{value}';"
                " e.dispatchEvent(new Event('change')) })()"
            )


def rows(page: Page) -> list[list[str]]:
    """Name, width of the bar in percent, and number of each row that is shown."""
    return page.run(
        "[...document.querySelectorAll('#bars tr')].map(row => [row.cells[0].innerText,"
        " row.querySelector('.bar').style.width, row.cells[2].innerText])"
    )


def text_of(page: Page, selector: str) -> str:
    return page.run(f"document.querySelector('{selector}').innerText")


def test_the_page_shows_labels_as_bars(page: Page, tmp_path):
    assert page.run("document.activeElement.id") == "text"
    choose(page, "sentiment")
    page.type("#text", "good")
    page.press_enter(control=True)
    page.wait("document.querySelectorAll('#bars tr').length === 3")
    (name, width, value), *rest = rows(page)
    assert name == "pos"
    assert float(value) > 0.5
    assert float(width.rstrip("%")) == pytest.approx(100 * float(value), abs=0.01)
    assert {row[0] for row in rest} == {"neg", "mixed"}
    page.screenshot(tmp_path / "labels.png", dark=True)
    assert (tmp_path / "labels.png").stat().st_size > 10_000


def test_the_page_shows_neighbors_and_goes_on_from_them(page: Page):
    choose(page, "vectors", "nearest_neighbors")
    page.type("#text", "king")
    page.press_enter()
    page.wait("document.querySelector('#title').innerText.includes('king')")
    assert rows(page)[0][0] == "queen"
    page.run("document.querySelector('#bars button').click()")
    page.wait("document.querySelector('#title').innerText.includes('queen')")
    assert rows(page)[0][0] == "king"


def test_the_page_shows_vectors(page: Page):
    choose(page, "vectors", "vectors")
    assert page.run("document.querySelector('#k-label').hidden")
    page.type("#text", "king")
    page.press_enter()
    page.wait("document.querySelectorAll('#plot rect').length === 4")
    assert text_of(page, "#numbers") == "1.0000, 0.1000, 0.0000, 0.0000"
    assert rows(page) == []


def test_the_request_that_the_page_shows_can_be_made(page: Page):
    choose(page, "sentiment")
    page.type("#text", "it's good")
    page.press_enter(control=True)
    page.wait("document.querySelector('#command').textContent.includes('sentiment')")
    command = page.run("document.querySelector('#command').textContent")
    done = subprocess.run(shlex.split(command), capture_output=True, check=True)
    assert json.loads(done.stdout)["predictions"][0]["label"][0] == "__label__pos"


def test_the_page_says_what_went_wrong(page: Page):
    complaints = list(page.complaints)
    choose(page, "sentiment")
    page.type("#text", "x" * 190_000)
    page.press_enter(control=True)
    page.wait("!document.querySelector('#error').hidden")
    assert "--max_characters" in text_of(page, "#error")
    assert page.run("document.querySelector('#answer').hidden")
    page.type("#text", "good")
    page.press_enter(control=True)
    page.wait("document.querySelector('#error').hidden")
    # Nothing but the refused request was complained of: no script failed, no policy was broken.
    assert complaints == []
    assert all("413" in one for one in page.complaints)
