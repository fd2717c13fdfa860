"""The MCP server: the SDK's low-level server with our own schemas, checks and messages.

The SDK's decorators are not used. They parse arguments and results with pydantic, so bounds would be declared twice,
"10" would be accepted for 10, and errors would be pydantic's instead of field, value and bound.

Rule of this file: it converts messages to calls and results to messages. `calls` has what a call does.
"""

import logging
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

import mcp_types as types
import msgspec
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.api.names import in_words
from callmarket.bridge.mcp_server.calls import Agent, called, command_id_of
from callmarket.bridge.mcp_server.catalogue import BY_NAME, TOOLS, Tool
from callmarket.bridge.mcp_server.faults import render_error

logger: Final = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]
AgentOf = Callable[[Context], AbstractAsyncContextManager[Agent]]

_LOOK_AHEAD: Final = re.compile(r"\(\?![^)]*\)")

RULES_URI: Final = "callmarket://rules"
INSTRUCTIONS: Final = (
    "A market where agents buy slots of compute with tokens. To bid, use markets, wallet, quote and place_bid, then "
    "my_awards with wait_s; do the work; settle before the award's lease_until. Bid what the slot is worth to you. "
    "With artifact_markets, artifact_quote and artifact_trade, agents also buy shares that pay one token if an "
    "artifact holds (long), or if it does not (short). What you spend is in whole tokens, all times are UTC. The rules "
    f"on one page are the resource {RULES_URI}."
)


def tools_server(agent_of: AgentOf) -> Server[Any]:
    """The server of the tools. `agent_of` returns the agent of a request."""

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = BY_NAME.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r:.80}: {', '.join(BY_NAME)}")
        return await _answer(tool, params.arguments or {}, lambda: agent_of(context))

    return Server(
        "callmarket",
        version=version("callmarket"),
        title="callmarket",
        instructions=INSTRUCTIONS,
        on_list_tools=_list_tools,
        on_call_tool=call_tool,
        on_list_resources=_list_resources,
        on_read_resource=_read_resource,
    )


def declared(tool: Tool) -> types.Tool:
    """The declaration of a tool for clients."""
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema_of(tool.asks),
        output_schema=schema_of(tool.gives),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.reads,
            idempotent_hint=tool.repeats,
            destructive_hint=tool.destroys,
            # A closed world: tools reach only this market.
            open_world_hint=False,
        ),
    )


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a struct, with an object at its root as MCP requires, and only the definitions it uses."""
    schema = msgspec.json.schema(kind)
    parts = schema["$defs"]
    root = parts.pop(schema["$ref"].rpartition("/")[2])
    # Docstrings are for readers of the code; the tool has its own description.
    for part in (root, *parts.values()):
        part.pop("title", None)
        part.pop("description", None)
    shown: dict[str, Any] = portable({**root, "$defs": parts} if parts else root)
    return shown


def portable(schema: Any) -> Any:
    """The schema with patterns that work in every dialect: `$` for the end, and no lookahead."""
    if isinstance(schema, dict):
        return {
            name: _LOOK_AHEAD.sub("", part).replace(r"\Z", "$") if name == "pattern" else portable(part)
            for name, part in schema.items()
        }
    return [portable(part) for part in schema] if isinstance(schema, list) else schema


async def _list_tools(_context: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[declared(tool) for tool in TOOLS])


async def _answer(
    tool: Tool, arguments: dict[str, Any], entering: Callable[[], AbstractAsyncContextManager[Agent]]
) -> types.CallToolResult:
    """The result of a call, or an error message that a model can use; never a traceback."""
    command_id = ""
    try:
        asked = msgspec.convert(arguments, tool.asks)
        command_id = "" if tool.reads else command_id_of(tool.name, asked)
        async with entering() as agent:
            given = await called(agent, tool.operation, asked, tool.adapt, command_id)
    except msgspec.ValidationError as error:
        return _failed(f"INVALID: {_field_first(error)}. Correct that argument, then try again. Nothing happened.")
    except ExchangeError as error:
        return _failed(render_error(error, command_id))
    except Exception as error:
        logger.exception("the tool %s failed", tool.name)
        return _failed(render_error(error))
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=tool.tell(given))],
        structured_content=msgspec.to_builtins(given),
    )


def _failed(words: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=words)], is_error=True)


def _field_first(error: msgspec.ValidationError) -> str:
    render_error, _, path = str(error).partition(" - at `$.")
    words = in_words(render_error)
    return f"{path.rstrip('`')}: {words}" if path else words


async def _list_resources(_context: Context, _params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    rules = types.Resource(
        uri=RULES_URI,
        name="rules",
        title="The market on one page",
        description="How to bid well, what a bid costs, and what to do after a refusal.",
        mime_type="text/markdown",
    )
    return types.ListResourcesResult(resources=[rules])


async def _read_resource(_context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    if str(params.uri) != RULES_URI:
        raise MCPError(types.INVALID_PARAMS, f"there is no such resource: {RULES_URI} is the only one")
    text = (files("callmarket.bridge.mcp_server") / "rules.md").read_text(encoding="utf-8")
    contents = types.TextResourceContents(uri=RULES_URI, mime_type="text/markdown", text=text)
    return types.ReadResourceResult(contents=[contents])
