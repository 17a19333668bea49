import asyncio
from core.memory.memory_manager_v2 import create_production_memory_manager
from core.memory.models import MemoryRecord

async def test_write_retrieve():
    memory = create_production_memory_manager()

    # Создать запись
    record = MemoryRecord(
        user_id="test_user",
        text="Important legal precedent from Smith v. Jones case",
        type="semantic",
        source="test",
        tags=["legal", "precedent"]
    )

    # Сохранить
    stored = await memory.awrite([record])
    print(f"✅ Stored {len(stored)} records")

    # Извлечь
    results = await memory.aretrieve(
        "find legal precedents",
        user_id="test_user",
        topk=5
    )
    print(f"✅ Retrieved {len(results)} records")

    assert len(results) > 0, "No results found!"
    print(f"Top result: {results[0].text}")

asyncio.run(test_write_retrieve())
