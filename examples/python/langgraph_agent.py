"""An agent on LangGraph that remembers: facts across conversations in a store, each conversation in a saver, both in one directory.

Run it twice with the same directory and the second run knows what the first was told. The model is scripted, so that it needs
no key and no network; put any chat model in its place.

    python langgraph_agent.py [DIRECTORY]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from mnemic import create_embedded_memory_manager
from mnemic.integrations.langgraph import MnemicSaver, MnemicStore

USER = ("users", "alice")


@tool
def remember(fact: str, runtime: ToolRuntime) -> str:
    """Keeps a fact about the user for all later conversations."""
    assert runtime.store is not None
    runtime.store.put(USER, fact, {"text": fact})
    return "kept"


@tool
def recall(question: str, runtime: ToolRuntime) -> str:
    """Looks up what is known about the user."""
    assert runtime.store is not None
    found = runtime.store.search(USER, query=question, limit=1)
    return found[0].value["text"] if found else "nothing"


class ScriptedModel(BaseChatModel):
    """Keeps what begins with "Note:", looks up what ends with a question mark, and repeats what a tool found."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> ScriptedModel:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            return AIMessage(f"({last.name}) {last.content}")
        said = str(last.content)
        number = f"call-{len(messages)}"
        if said.startswith("Note:"):
            fact = said.removeprefix("Note:").strip()
            return AIMessage("", tool_calls=[{"name": "remember", "args": {"fact": fact}, "id": number}])
        if said.endswith("?"):
            return AIMessage("", tool_calls=[{"name": "recall", "args": {"question": said}, "id": number}])
        return AIMessage(f"This conversation has {len(messages)} messages.")


def main(directory: Path) -> None:
    with create_embedded_memory_manager(directory) as memory:
        agent = create_agent(
            ScriptedModel(),
            tools=[remember, recall],
            store=MnemicStore(memory, index={"fields": ["text"]}),
            checkpointer=MnemicSaver(memory),
        )

        def say(thread: str, text: str) -> None:
            config: Any = {"configurable": {"thread_id": thread}}
            answer = agent.invoke({"messages": [{"role": "user", "content": text}]}, config)
            print(f"[{thread}] {text}\n    -> {answer['messages'][-1].content}")

        say("monday", "Note: I am allergic to peanuts.")
        say("monday", "Note: My flight to Lisbon leaves at 7:40.")
        say("tuesday", "Which food am I allergic to?")
        say("tuesday", "When does my flight leave?")
        say("monday", "How long have we talked.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            main(Path(directory) / "memory")
