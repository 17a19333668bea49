"""Claude's memory tool on a memory, in a loop of messages. The server is scripted: no key, no network.

Run: pip install "mnemic[anthropic]" && python anthropic_memory_tool.py
"""

import json
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from anthropic import Anthropic

from mnemic import create_embedded_memory_manager
from mnemic.integrations.anthropic_memory import MnemicMemoryTool

# What the model asks for, message by message.
SCRIPT: list[dict[str, Any]] = [
    {"command": "view", "path": "/memories"},
    {"command": "create", "path": "/memories/petrova/case.md", "file_text": "Form: I-485\nInterview: Austin\n"},
    {"command": "str_replace", "path": "/memories/petrova/case.md", "old_str": "Austin", "new_str": "Dallas, 3 July"},
    {"command": "view", "path": "/memories/petrova/case.md"},
    {"command": "view", "path": "/memories/../etc/passwd"},
]
# The client sends only what is new of a conversation, so the number of the message is counted here.
STEPS = iter(range(len(SCRIPT) + 1))


def respond(request: httpx2.Request) -> httpx2.Response:
    """Plays the model: prints the last result of a tool and asks for the next command, or ends."""
    step = next(STEPS)
    if step:
        result = json.loads(request.content)["messages"][-1]["content"][0]
        print("refused:" if result.get("is_error") else "result:", result["content"])
    content = (
        {"type": "tool_use", "id": f"toolu_{step}", "name": "memory", "input": SCRIPT[step]}
        if step < len(SCRIPT)
        else {"type": "text", "text": "The interview is in Dallas."}
    )
    message = {
        "id": f"msg_{step}",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [content],
        "stop_reason": "tool_use" if step < len(SCRIPT) else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    return httpx2.Response(200, json=message)


with TemporaryDirectory() as directory, create_embedded_memory_manager(directory) as memory:
    tool = MnemicMemoryTool(memory.in_namespace("claude"))
    client = Anthropic(api_key="none", http_client=httpx2.Client(transport=httpx2.MockTransport(respond)))
    runner = client.beta.messages.tool_runner(
        model="scripted",
        max_tokens=100,
        messages=[{"role": "user", "content": "Where is the interview?"}],
        tools=[tool],
    )
    last = runner.until_done().content[0]
    print("answer:", last.text if last.type == "text" else last.type)
    for revision in tool.history("/memories/petrova/case.md"):
        print("revision:", revision.text.splitlines()[-1])
