"""Every snippet of the migration guide, run as it stands. Not here: the guide's three scripts as programs (`test_guide_scripts`)."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_guide_scripts  # noqa: F401 (its tests cover blocks too)
import worlds
from guide import BLOCKS, TESTED, block, covers, run

import mnemic
from mnemic import AuditEvent, ConfigError, MemoryManager, MemoryRecord, compat


@pytest.fixture
def core(isolated: pytest.MonkeyPatch) -> Iterator[None]:
    """The module names of the replaced system."""
    compat.install("core.memory")
    yield
    compat.uninstall("core.memory")
    assert not [name for name in sys.modules if name.partition(".")[0] == "core"]


@pytest.fixture
def project(isolated: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """A real package ``core`` of the user's, with the memory's part installed after ``sys.path`` leads to it."""
    for folder in ("core", "core/groupagents", "core/orchestration"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "core/__init__.py").write_text("OWN = 'the real one'\n")

    def write(path: str, code: str) -> Path:
        (tmp_path / path).write_text(code, encoding="utf-8")
        return tmp_path / path

    isolated.syspath_prepend(str(tmp_path))
    compat.install("core.memory")
    yield write
    compat.uninstall("core.memory")
    for name in [name for name in sys.modules if name.partition(".")[0] == "core"]:
        del sys.modules[name]


def test_every_block_has_a_test() -> None:
    assert len(BLOCKS) == 24
    assert sorted(TESTED) == sorted(BLOCKS)


async def keeps(memory: MemoryManager, text: str = "Form I-485 was filed in March") -> None:
    """A record goes in and comes out."""
    await memory.awrite([MemoryRecord(text=text, user_id="u")])
    assert (await memory.aretrieve("I-485 filing", user_id="u"))[0].text == text


@covers("Шаг 1: Обновить импорты", 1)
async def test_the_old_import_gives_a_memory_in_this_process(core: None) -> None:
    scope = await run(block("Шаг 1: Обновить импорты", 1), {})
    assert type(scope["memory"]) is MemoryManager
    await keeps(scope["memory"])


@covers("Шаг 1: Обновить импорты", 2)
async def test_the_new_import_gives_a_memory_on_servers(core: None, production: worlds.Database) -> None:
    scope = await run(block("Шаг 1: Обновить импорты", 2), {})
    await keeps(scope["memory"])
    # Another one sees it: it is not in this process.
    again = mnemic.create_production_memory_manager()
    assert len(await again.aretrieve("I-485", user_id="u")) == 1


@covers("Шаг 2: Настроить окружение")
async def test_the_three_settings_in_a_file_are_enough(
    production: worlds.Database, isolated: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"POSTGRES_DSN": production.serving, "PINECONE_API_KEY": "stand-in", "VOYAGE_API_KEY": "stand-in"}
    lines = block("Шаг 2: Настроить окружение").split()
    assert [line.partition("=")[0] for line in lines] == list(given)
    for name in given:
        isolated.delenv(name)
    # Without a word on what to use: the keys decide.
    isolated.delenv("MNEMIC_EMBEDDER")
    with pytest.raises(ConfigError, match="POSTGRES_DSN"):
        mnemic.create_production_memory_manager()
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    memory = mnemic.create_production_memory_manager()
    await keeps(memory)
    parts = {detail.part: detail.message for detail in (await memory.health_check()).details}
    assert "pinecone" in str(parts).lower(), parts
    assert "voyage" in str(parts).lower(), parts


@covers("Шаг 3: Запустить")
@pytest.mark.parametrize("kind", ["dev", "production"])
async def test_the_calls_work_without_changes(kind: str, core: None, request: pytest.FixtureRequest) -> None:
    if kind == "production":
        request.getfixturevalue("production")
        memory = mnemic.create_production_memory_manager()
    else:
        memory = mnemic.create_dev_memory_manager()
    event = AuditEvent(user_id="u", thread_id="t", source="agent", action="noted", payload={"n": 1})
    records = [MemoryRecord(text="the query was answered", user_id="u")]
    given = {"memory": memory, "event": event, "records": records, "thread_id": "t", "slots": {"persona": "paralegal"}}
    scope = await run(block("Шаг 3: Запустить"), given)
    assert [found.text for found in scope["results"]] == ["the query was answered"]
    assert await memory.aget_rmt("t") == {"persona": "paralegal"}
    assert (await memory.asnapshot_thread("t")).endswith('agent:noted {"n":1}')


@covers("1. Обновить MegaAgent", 1)
@covers("2. Обновить CaseAgent", 1)
@pytest.mark.parametrize("name", ["MegaAgent", "CaseAgent"])
async def test_the_agents_of_before_work_in_their_own_package(name: str, project: Callable[[str, str], Path]) -> None:
    heading = "1. Обновить MegaAgent" if name == "MegaAgent" else "2. Обновить CaseAgent"
    project("core/groupagents/agent.py", block(heading, 1))
    import core
    from core.groupagents import agent  # type: ignore[import-not-found]

    assert core.OWN == "the real one"
    await keeps(getattr(agent, name)().memory)
    own = mnemic.create_dev_memory_manager(namespace="own")
    assert getattr(agent, name)(own).memory is own


@covers("1. Обновить MegaAgent", 2)
async def test_the_mega_agent_chooses_by_the_environment(
    project: Callable[[str, str], Path], production: worlds.Database, isolated: pytest.MonkeyPatch
) -> None:
    project("core/groupagents/mega_agent.py", block("1. Обновить MegaAgent", 2))
    from core.groupagents.mega_agent import MegaAgent  # type: ignore[import-not-found]

    served = MegaAgent().memory
    await keeps(served)
    assert await mnemic.create_production_memory_manager().aretrieve("I-485", user_id="u"), "on the servers"
    isolated.setenv("ENV", "development")
    assert not await MegaAgent().memory.aretrieve("I-485", user_id="u"), "in this process, and empty"
    isolated.delenv("ENV")
    assert MegaAgent().memory.namespace == "default"
    assert MegaAgent(served).memory is served


@covers("2. Обновить CaseAgent", 2)
async def test_the_case_agent_has_a_memory_for_developers(project: Callable[[str, str], Path]) -> None:
    project("core/groupagents/case_agent.py", block("2. Обновить CaseAgent", 2))
    from core.groupagents.case_agent import CaseAgent  # type: ignore[import-not-found]

    await keeps(CaseAgent().memory)
    own = mnemic.create_dev_memory_manager()
    assert CaseAgent(own).memory is own, "a memory is never false, however empty"


@covers("3. Обновить WorkflowGraph", 1)
@covers("3. Обновить WorkflowGraph", 2)
@pytest.mark.parametrize("number", [1, 2])
async def test_the_workflow_takes_a_memory(number: int, project: Callable[[str, str], Path]) -> None:
    code = block("3. Обновить WorkflowGraph", number)
    # The guide leaves out other parameters, and in its first form the import that it replaces.
    assert code.count("...") == 1
    code = code.replace("...", "*others")
    if number == 1:
        code = "from ..memory.memory_manager import MemoryManager\n" + code
    project("core/orchestration/workflow_graph.py", code)
    import typing

    from core.orchestration.workflow_graph import build_case_workflow  # type: ignore[import-not-found]

    assert typing.get_type_hints(build_case_workflow)["memory"] is MemoryManager
    assert build_case_workflow(mnemic.create_dev_memory_manager()) is None


@covers("Development (local)")
async def test_development_needs_no_settings(core: None) -> None:
    await keeps((await run(block("Development (local)"), {}))["memory"])


@covers("Staging")
@covers("Production")
async def test_staging_and_production_see_nothing_of_each_other(core: None, production: worlds.Database) -> None:
    staging = (await run(block("Staging"), {}))["memory"]
    served = (await run(block("Production"), {}))["memory"]
    assert (staging.namespace, served.namespace) == ("staging", "production")
    await walls(staging, served)


async def walls(a: MemoryManager, b: MemoryManager) -> None:
    """What is in one of two memories is not in the other, and cannot be changed from there."""
    await a.awrite(MemoryRecord(id="x", text="Acme settles for five million", user_id="u"))
    await a.alog_audit(AuditEvent(event_id="e", thread_id="t", source="s", action="settled"))
    await a.aset_rmt("t", {"persona": "counsel"})
    for mode in ("hybrid", "dense", "lexical"):
        assert not await b.aretrieve("Acme settles for five million", mode=mode)
    assert await b.aget(["x"]) == [None]
    assert (await b.asnapshot_thread("t"), await b.aget_rmt("t")) == ("", None)
    assert (await b.astats())["records"] == 0
    await b.aforget(ids=["x"])
    await b.awrite(MemoryRecord(id="x", text="another client's", user_id="u"))
    assert [found.text for found in await a.aretrieve("Acme")] == ["Acme settles for five million"]
    assert (await a.aget(["x"]))[0].version == 1


@covers("4. Namespaces for Multi-tenancy")
async def test_clients_see_nothing_of_each_other(core: None, production: worlds.Database) -> None:
    scope: dict[str, Any] = {"create_production_memory_manager": mnemic.create_production_memory_manager}
    await run(block("4. Namespaces for Multi-tenancy"), scope)
    a, b = scope["memory_client_a"], scope["memory_client_b"]
    assert (a.namespace, b.namespace) == ("client-a", "client-b")
    await walls(a, b)


@covers("1. Используйте Factory Functions")
async def test_the_factory_replaces_the_manual_setup(core: None, production: worlds.Database) -> None:
    code = block("1. Используйте Factory Functions")
    good, bad = code.split("# ❌ BAD", 1)
    scope = {"create_production_memory_manager": mnemic.create_production_memory_manager}
    memory = (await run(good, scope))["memory"]
    assert memory.namespace == "my-app"
    await keeps(memory)
    # What the guide warns of is gone, and Python says so.
    with pytest.raises(ModuleNotFoundError, match=r"core\.storage"):
        await run("# " + bad, {})


@covers("2. Environment-based Configuration")
@pytest.mark.parametrize(("env", "namespace"), [("production", "prod"), ("staging", "staging"), (None, "default")])
async def test_the_environment_decides(
    env: str | None, namespace: str, core: None, production: worlds.Database, isolated: pytest.MonkeyPatch
) -> None:
    if env is None:
        isolated.delenv("ENV")
    else:
        isolated.setenv("ENV", env)
    scope: dict[str, Any] = {}
    exec("from core.memory.memory_manager_v2 import *", scope)
    await run(block("2. Environment-based Configuration"), scope)
    memory = scope["create_memory_manager"]()
    assert memory.namespace == namespace
    await keeps(memory)
    # Ours of the same name decides in the same way, without the branches.
    expected = {"production": "production", "staging": "staging"}.get(env or "", "default")
    assert mnemic.create_memory_manager().namespace == expected


@covers("3. Graceful Degradation")
async def test_a_healthy_production_serves(
    core: None, production: worlds.Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await keeps(await fallback())
    assert await mnemic.create_production_memory_manager().aretrieve("I-485", user_id="u"), "on the servers"
    assert capsys.readouterr().out == ""


async def fallback() -> MemoryManager:
    """What the guide's function gives."""
    scope: dict[str, Any] = {}
    exec("from core.memory.memory_manager_v2 import *", scope)
    await run(block("3. Graceful Degradation"), scope)
    made = await scope["get_memory_with_fallback"]()
    assert isinstance(made, MemoryManager)
    return made


async def test_a_production_that_cannot_be_reached_falls_back(
    core: None, isolated: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    isolated.setenv("POSTGRES_DSN", f"postgresql+asyncpg://u:hush-hush@127.0.0.1:{port}/db")
    isolated.setenv("MNEMIC_DEADLINE", "2s")
    memory = await asyncio.wait_for(fallback(), 20)
    said = capsys.readouterr().out
    assert "Backends unhealthy" in said
    assert "Falling back to dev memory" in said
    await keeps(memory)
    assert memory.namespace == "default"


async def test_a_production_without_settings_falls_back(core: None, capsys: pytest.CaptureFixture[str]) -> None:
    memory = await fallback()
    assert "Production memory failed: POSTGRES_DSN" in capsys.readouterr().out
    await keeps(memory)


@covers("🔄 Rollback Plan")
async def test_the_rollback_is_in_this_process_and_leaves_the_servers_data(
    core: None, production: worlds.Database
) -> None:
    served = mnemic.create_production_memory_manager()
    await keeps(served, "kept on the servers: I-485")
    memory = (await run(block("🔄 Rollback Plan"), {}))["memory"]
    assert not await memory.aretrieve("I-485")
    await keeps(memory)
    assert (await served.astats())["records"] == 1


@covers('"Pinecone index not found"')
async def test_the_index_is_made_at_first_use(production: worlds.Database) -> None:
    assert "автоматически" in block('"Pinecone index not found"')
    memory = mnemic.create_production_memory_manager()
    first = await memory.aretrieve("anything at all")
    assert (list(first), [leg.outcome for leg in first.legs if leg.leg == "dense"]) == ([], ["ran"])
    await keeps(memory)
    assert (await memory.aretrieve("I-485", mode="dense", user_id="u"))[0].similarity is not None


@covers('"Voyage AI rate limit"')
async def test_one_call_takes_a_thousand_records(production: worlds.Database) -> None:
    assert "батчинг" in block('"Voyage AI rate limit"')
    memory = mnemic.create_production_memory_manager()
    written = await memory.awrite([f"statement {n} about case {n * 7}" for n in range(1000)])
    assert set(written.outcomes) <= {"indexed", "pending"}
    await memory.adrain()
    assert await memory.averify() == []
    assert (await memory.astats())["records"] == 1000


@covers('"PostgreSQL connection failed"')
@pytest.mark.parametrize(
    "wrong",
    [
        "mysql://user:hush-hush@host:5432/db",
        "postgresql+psycopg2://user:hush-hush@host:5432/db",
        "user:hush-hush@host:5432/db",
        "postgresql+asyncpg://user:hush-hush@host:port/db",
        "postgresql+asyncpg://user:hush-hush/#@host:5432/db",
    ],
)
def test_a_wrong_dsn_is_told_with_the_right_form(wrong: str, isolated: pytest.MonkeyPatch) -> None:
    assert "postgresql+asyncpg://user:pass@host:port/db" in block('"PostgreSQL connection failed"')
    isolated.setenv("POSTGRES_DSN", wrong)
    with pytest.raises(ConfigError) as told:
        mnemic.create_production_memory_manager()
    assert "postgresql://user:password@host:5432/database" in str(told.value)
    assert "hush" not in str(told.value) + repr(told.value)
