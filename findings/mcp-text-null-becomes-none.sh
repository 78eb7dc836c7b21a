#!/usr/bin/env bash
# Package: mcp 2.3.0 (the Python SDK of the Model Context Protocol).
#
# Behaviour: an argument of type `str | None` is parsed as JSON before it is validated. The text
# "null" arrives as None. The texts "[]" and '{"a": 1}' are refused as no strings. For
# `str | list[str]` the text '["a"]' arrives as a list. A plain `str` gets each text as it was sent.
#
# A good guess: a string arrives as that string. The schema that the server itself publishes for
# the argument lists "string" first, and each of these texts is valid under it.
#
# For a vector index in sync with SQL tables: an agent that searches for the word "null", or for a
# row whose text is a JSON object, gets the answer of no query or an error. The same tool with a
# required query is right, so a default of None changes what can be searched for.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'mcp==2.3.0'

venv/bin/python - 2>mcp.log <<'PY' || { tail -n 20 mcp.log >&2; exit 1; }
import asyncio

from mcp import Client
from mcp.server import MCPServer

server = MCPServer("index")


@server.tool()
def required(query: str) -> str:
    return repr(query)


@server.tool()
def optional(query: str | None = None) -> str:
    return repr(query)


@server.tool()
def one_or_many(query: str | list[str]) -> str:
    return repr(query)


texts = ["null", "[]", '{"a": 1}', '["a"]', "none"]


async def ask():
    async with Client(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        schema = tools["optional"].input_schema["properties"]["query"]["anyOf"]
        seen = {}
        for name in tools:
            answers = [await client.call_tool(name, {"query": text}) for text in texts]
            seen[name] = ["error" if a.is_error else a.content[0].text for a in answers]
        return schema, seen


schema, seen = asyncio.run(ask())
print("schema of the optional query:", schema)
print(f"{'sent':12}", *(f"{text!r:12}" for text in texts))
for name, answers in seen.items():
    print(f"{name:12}", *(f"{answer:12}" for answer in answers))

assert {"type": "string"} in schema, "the schema changed"
assert seen["required"] == [repr(text) for text in texts], "a required string changed"
assert seen["optional"] == ["None", "error", "error", "error", "'none'"], "the optional one changed"
assert seen["one_or_many"][3] == "['a']", "one or many changed"
PY
