"""The memory block alone and in LlamaIndex's own ``Memory``, flushed for want of tokens, across sessions, people and processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms.mock import MockLLMWithChatMemoryOfLastCall
from llama_index.core.memory import InsertMethod, Memory, StaticMemoryBlock
from llama_index.core.utils import get_tokenizer

from mnemic import (
    InvalidInputError,
    MemoryManager,
    MemoryRecord,
    create_dev_memory_manager,
    create_embedded_memory_manager,
)
from mnemic.integrations.llama_index import MnemicMemoryBlock

EXAMPLES = Path(__file__).parents[4] / "examples" / "python"


@pytest.fixture(params=["dev", "embedded"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryManager]:
    with (
        create_dev_memory_manager() if request.param == "dev" else create_embedded_memory_manager(tmp_path / "memory")
    ) as memory:
        yield memory


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=text)


CONVERSATION = [
    user("My name is Anna and I live in Austin."),
    assistant("Nice to meet you, Anna."),
    user("My receipt number is MSC2190000001."),
    assistant("I have noted the receipt number."),
]


async def kept(memory: MemoryManager, **given: Any) -> list[MemoryRecord]:
    return (await memory.alist(limit=1000, **given)).items


def small(block: MnemicMemoryBlock, session: str, limit: int = 60) -> Memory:
    """A short-term memory that holds a few messages only."""
    return Memory.from_defaults(
        session_id=session,
        token_limit=limit,
        chat_history_token_ratio=0.5,
        token_flush_size=10,
        memory_blocks=[block],
    )


async def test_messages_are_records_of_their_session_user_and_role(memory: MemoryManager) -> None:
    block = MnemicMemoryBlock(memory=memory, user_id="anna")
    await block.aput(CONVERSATION, from_short_term_memory=True, session_id="s1")
    records = await kept(memory, user_id="anna")
    assert [record.text for record in records] == [message.content for message in CONVERSATION]
    assert {record.thread_id for record in records} == {"s1"}
    assert {record.type for record in records} == {"episodic"}
    assert [record.source for record in records] == ["user", "assistant", "user", "assistant"]
    assert records[0].metadata == {"role": "user"}


async def test_the_same_flush_twice_does_not_double(memory: MemoryManager) -> None:
    block = MnemicMemoryBlock(memory=memory)
    for _ in range(2):
        await block.aput([message.model_copy(deep=True) for message in CONVERSATION], session_id="s1")
    await block.aput([CONVERSATION[2], user("And my case is in Texas."), CONVERSATION[2]], session_id="s1")
    records = await kept(memory)
    assert len(records) == 5
    assert {record.version for record in records} == {1}
    await block.aput(CONVERSATION, session_id="s2")
    assert len(await kept(memory)) == 9


async def test_flushing_again_does_not_undo_a_correction(memory: MemoryManager) -> None:
    block = MnemicMemoryBlock(memory=memory)
    await block.aput(CONVERSATION[:1], session_id="s1")
    (record,) = await kept(memory)
    await memory.awrite(record.model_copy(update={"salience": 0.9, "tags": ["home"]}))
    await block.aput(CONVERSATION[:1], session_id="s1")
    (again,) = await kept(memory)
    assert (again.salience, again.tags) == (0.9, ["home"])


async def test_what_leaves_the_short_term_memory_comes_back_where_it_matters(memory: MemoryManager) -> None:
    context = small(MnemicMemoryBlock(memory=memory, topk=1), "s1")
    for message in CONVERSATION:
        await context.aput(message)
    active = [message.content for message in await context.aget_all()]
    flushed = {record.text for record in await kept(memory)}
    assert "My name is Anna and I live in Austin." in flushed
    assert flushed < {*active, *flushed}
    prompt = await context.aget(input="Which city do I live in?")
    assert prompt[0].role == "system"
    assert "user: My name is Anna and I live in Austin." in (prompt[0].content or "")
    assert "<MnemicMemory>" in (prompt[0].content or "")


async def test_what_is_in_the_conversation_is_not_told_twice(memory: MemoryManager) -> None:
    block = MnemicMemoryBlock(memory=memory, slots=False)
    await block.aput([user("I live in Austin."), user("I work in Dallas.")], session_id="s1")
    told = await block.aget([user("I live in Austin."), user("Where do I work?")], session_id="s1")
    assert "Austin" not in told
    assert "Dallas" in told


async def test_the_sessions_slots_come_first(memory: MemoryManager) -> None:
    await memory.aset_rmt("s1", {"goal": "file the I-485\nin June", "tone": "plain"})
    block = MnemicMemoryBlock(memory=memory)
    await block.aput(CONVERSATION, session_id="s1")
    told = await block.aget([user("Where do I live?")], session_id="s1")
    assert told.startswith(
        "Notes of this session:\n- goal: file the I-485\n  in June\n- tone: plain\nFrom memory:\n- [20"
    )
    assert await block.aget([], session_id="s1") == told.split("\nFrom memory:")[0]
    assert await block.aget([user("Where do I live?")], session_id="s2") == ""
    hidden = MnemicMemoryBlock(memory=memory, slots=False)
    assert (await hidden.aget([user("Where do I live?")], session_id="s1")).startswith("From memory:")
    assert await hidden.aget(None, session_id="s1") == ""


async def test_nobody_is_shown_what_another_said(memory: MemoryManager) -> None:
    await MnemicMemoryBlock(memory=memory, user_id="anna").aput([user("I live in Austin.")], session_id="a")
    await MnemicMemoryBlock(memory=memory, user_id="boris").aput([user("I live in Boston.")], session_id="b")
    await MnemicMemoryBlock(memory=memory).aput([user("I live in Chicago.")], session_id="c")
    ask = [user("Where do I live?")]

    async def cities(session: str, **given: Any) -> set[str]:
        told = await MnemicMemoryBlock(memory=memory, **given).aget(ask, session_id=session)
        return {city for city in ("Austin", "Boston", "Chicago") if city in told}

    assert await cities("later", user_id="anna") == {"Austin"}
    assert await cities("later", user_id="anna", scope="session") == set()
    assert await cities("c") == {"Chicago"}
    assert await cities("later") == set()
    assert await cities("later", scope="all") == {"Austin", "Boston", "Chicago"}
    assert await cities("later", scope="all", filters={"thread_id": "b"}) == {"Boston"}


@pytest.mark.parametrize(("given", "named"), [({}, "session_id"), ({"scope": "user"}, "user_id")])
async def test_a_scope_needs_what_it_is_about(memory: MemoryManager, given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        await MnemicMemoryBlock(memory=memory, **given).aget([user("Where do I live?")])


async def test_only_text_is_kept(memory: MemoryManager) -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="search", tool_kwargs={"q": "fee"})
    messages = [
        ChatMessage(role="user", blocks=[ImageBlock(url="https://example.com/a.png")]),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role="tool", blocks=[TextBlock(text="The fee"), TextBlock(text="is $2,805.")]),
        user("  "),
    ]
    block = MnemicMemoryBlock(memory=memory)
    await block.aput(messages, session_id="s1")
    (record,) = await kept(memory)
    assert (record.text, record.source) == ("The fee\nis $2,805.", "tool")
    assert await block.aget(messages[:2], session_id="s1") == ""


async def test_a_message_beyond_the_limit_is_kept_whole_in_parts(memory: MemoryManager) -> None:
    text = "".join(f"Строка {number} of the pasted report.\n" for number in range(20_000)) + "x" * 300_000
    block = MnemicMemoryBlock(memory=memory)
    for _ in range(2):
        await block.aput([user(text)], session_id="s1")
    records = sorted(await kept(memory), key=lambda record: record.metadata["part"])
    assert len(records) == records[0].metadata["parts"] > 2
    assert "".join(record.text for record in records) == text
    assert records[0].text.endswith(".\n")
    await block.aget([user(text)], session_id="s1")


async def test_many_messages_in_one_flush(memory: MemoryManager) -> None:
    await MnemicMemoryBlock(memory=memory).aput([user(f"Note number {n}") for n in range(1100)], session_id="s1")
    assert (await memory.astats())["records"] == 1100


async def test_truncation_drops_what_matters_least_and_no_more(memory: MemoryManager) -> None:
    block, count = MnemicMemoryBlock(memory=memory), get_tokenizer()
    content = "Notes of this session:\n- goal: file\nFrom memory:\n- one two\n  - three\n- four five six"
    size = len(count(content))
    assert await block.atruncate(content, 1) == content.rpartition("\n- four")[0]
    assert await block.atruncate(content, size - 12) == "Notes of this session:\n- goal: file"
    assert await block.atruncate(content, size - 1) is None
    assert await block.atruncate("From memory:\n- one", 1) is None
    assert await block.atruncate([], 1) is None  # type: ignore[arg-type]


async def test_a_memory_short_of_tokens_shortens_the_block(memory: MemoryManager) -> None:
    block = MnemicMemoryBlock(memory=memory, user_id="anna", topk=20)
    await block.aput([user(f"Fact {n}: the fee of form {n} is {n} dollars.") for n in range(20)], session_id="old")
    question = "What is the fee of form 7?"

    async def prompt(limit: int, **given: Any) -> str:
        mine = block.model_copy(update=given)
        context = Memory.from_defaults(session_id="new", token_limit=limit, memory_blocks=[mine, quiet])
        await context.aput(user(question))
        return str((await context.aget())[0].content)

    quiet = StaticMemoryBlock(name="quiet", static_content=[], priority=2)
    whole, short = await prompt(10_000), await prompt(100)
    assert whole.count("dollars") == 20
    assert 0 < short.count("dollars") < 8
    assert "form 7 is" in short
    assert (await prompt(100, priority=0)).count("dollars") == 20
    assert (await prompt(12)).count("dollars") == 0


@pytest.mark.parametrize("insert_method", list(InsertMethod))
async def test_a_chat_engine_answers_with_it(memory: MemoryManager, insert_method: InsertMethod) -> None:
    block = MnemicMemoryBlock(memory=memory, user_id="anna")
    model = MockLLMWithChatMemoryOfLastCall(max_tokens=5)
    before = small(block, "monday", limit=40)
    engine = SimpleChatEngine.from_defaults(llm=model, memory=before)
    for message in ("My name is Anna and I live in Austin.", "My receipt number is MSC2190000001.", "Thank you."):
        await engine.achat(message)
    after = Memory.from_defaults(session_id="friday", memory_blocks=[block], insert_method=insert_method)
    await SimpleChatEngine.from_defaults(llm=model, memory=after).achat("What was my receipt number?")
    assert "MSC2190000001" in str(model.last_chat_messages)


async def test_a_block_that_refuses_the_short_term_memory_gets_nothing_from_it(memory: MemoryManager) -> None:
    block = MnemicMemoryBlock(memory=memory, accept_short_term_memory=False)
    await block.aput(CONVERSATION, from_short_term_memory=True, session_id="s1")
    assert await kept(memory) == []
    await block.aput(CONVERSATION, session_id="s1")
    assert len(await kept(memory)) == 4


async def test_sessions_at_once_do_not_mix(memory: MemoryManager) -> None:
    block = MnemicMemoryBlock(memory=memory)

    async def one(number: int) -> str:
        session = f"s{number}"
        await block.aput([user(f"My number is {number}000.")], session_id=session)
        return await block.aget([user("What is my number?")], session_id=session)

    told = await asyncio.gather(*(one(number) for number in range(10, 30)))
    assert all(text.endswith(f"user: My number is {n}000.") for n, text in zip(range(10, 30), told, strict=True))


def test_an_embedder_that_fails_loses_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        dimension = 2

        async def aembed(self, texts: list[str]) -> list[list[float]]:
            raise ConnectionError("no route to the model")

    block = MnemicMemoryBlock(memory=create_dev_memory_manager(embedder=Broken()))
    asyncio.run(block.aput([user("I live in Austin.")], session_id="s1"))
    assert "no route to the model" in caplog.text
    caplog.clear()
    assert "I live in Austin." in asyncio.run(block.aget([user("Who lives in Austin?")], session_id="s1"))
    assert "no route to the model" in caplog.text


def test_a_block_is_described_without_its_memory(memory: MemoryManager) -> None:
    described = MnemicMemoryBlock(memory=memory, user_id="anna").model_dump()
    assert described["user_id"] == "anna"
    assert "memory" not in described
    with pytest.raises(ValueError, match="memory"):
        MnemicMemoryBlock(memory="a path")  # type: ignore[arg-type]


ANOTHER_PROCESS = """
import asyncio, os, sys
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory
from mnemic import create_embedded_memory_manager
from mnemic.integrations.llama_index import MnemicMemoryBlock

async def main():
    memory = create_embedded_memory_manager(sys.argv[1])
    block = MnemicMemoryBlock(memory=memory, user_id="anna")
    context = Memory.from_defaults(
        session_id="monday", token_limit=60, chat_history_token_ratio=0.5, token_flush_size=10, memory_blocks=[block]
    )
    for text in ("My receipt number is MSC2190000001.", "I live in Austin and work in Dallas.", "Thank you. " * 10):
        await context.aput(ChatMessage(role="user", content=text))
        await context.aput(ChatMessage(role="assistant", content="I have noted it."))
    await memory.aset_rmt("monday", {"goal": "file the I-485"})

asyncio.run(main())
os._exit(9)
"""


def flush_and_die(directory: Path) -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 9, done.stderr


async def test_what_another_process_kept_is_there_also_if_it_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / "memory"
    for _ in range(2):
        await asyncio.to_thread(flush_and_die, directory)
    async with create_embedded_memory_manager(directory) as memory:
        texts = [record.text for record in await kept(memory, user_id="anna")]
        assert len(texts) == len(set(texts)) > 1
        block = MnemicMemoryBlock(memory=memory, user_id="anna", topk=2)
        later = await Memory.from_defaults(session_id="friday", memory_blocks=[block]).aget(
            "What is my receipt number?"
        )
        assert "MSC2190000001" in str(later[0].content)
        same = await Memory.from_defaults(session_id="monday", memory_blocks=[block]).aget("What is my receipt number?")
        assert "goal: file the I-485" in str(same[0].content)


def test_the_example_runs(tmp_path: Path) -> None:
    example = str(EXAMPLES / "llama_index_memory.py")
    done = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "user: My receipt number is MSC2190000001." in done.stdout
    assert "- goal: file the I-485" in done.stdout
