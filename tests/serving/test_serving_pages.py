"""The OpenAPI document and the page for people."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from kftext.models import Output
from kftext.serving.sagemaker import SUPPORTED
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
    assert not re.findall(r"https?://", answer.text)
    assert server.client.head("/ui").content == b""


@pytest.mark.skipif(not shutil.which("node"), reason="needs node to run the page's script")
def test_the_pages_script_shows_predictions(server: Served, tmp_path):
    """The script of the page runs in node, over a document of a few lines, against the server."""
    page = server.client.get("/ui").text
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL).group(1)
    driver = (
        """
const elements = {};
function element() {
  return {
    value: "", textContent: "", className: "", hidden: false, style: {}, children: [], on: {}, tBodies: [],
    addEventListener(name, handler) { this.on[name] = handler; },
    append(...all) { this.children.push(...all); },
    replaceChildren(...all) { this.children = all; if (all.length && all[0].value) this.value = all[0].value; },
    insertRow() { const one = element(); this.children.push(one); return one; },
    insertCell() { const one = element(); this.children.push(one); return one; },
  };
}
globalThis.document = {
  getElementById: id => elements[id] ??= Object.assign(element(), id === "result" ? {tBodies: [element()]} : {}),
  createElement: element,
};
const ask = fetch;
globalThis.fetch = (path, init) => ask(BASE + path, init);
const get = id => document.getElementById(id);
get("k").value = "3";
const rows = () => get("result").tBodies[0].children.map(row => row.children.map(
  cell => cell.textContent || cell.children[0].style.width));
async function submit(model, text, output) {
  get("model").value = model;
  get("model").on.change();
  if (output) get("output").value = output;
  get("text").value = text;
  await get("form").on.submit({preventDefault() {}});
  return [rows(), get("message").textContent, get("message").className];
}
""".replace("BASE", repr(server.url))
        + script
        + """
await new Promise(done => setTimeout(done, 500));
console.log(JSON.stringify({
  models: get("model").children.map(one => one.textContent),
  labels: await submit("sentiment", "good"),
  neighbors: await submit("vectors", "king"),
  vector: await submit("vectors", "king", "vectors"),
  failed: await submit("nobody", "king"),
}));
"""
    )
    file = tmp_path / "page.mjs"
    file.write_text(driver)
    done = subprocess.run(["node", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["models"] == ["sentiment", "vectors", "subwords"]
    rows, message, _ = shown["labels"]
    assert rows[0][0] == "pos"
    assert len(rows) == 3
    assert float(rows[0][2]) > 0.5
    assert float(rows[0][1].rstrip("%")) == pytest.approx(100 * float(rows[0][2]), abs=0.01)
    rows, _, _ = shown["neighbors"]
    assert rows[0][0] == "queen"
    rows, message, _ = shown["vector"]
    assert rows == []
    assert message == "1.0000, 0.1000, 0.0000, 0.0000"
    _, message, kind = shown["failed"]
    assert "no such model" in message
    assert kind == "error"
