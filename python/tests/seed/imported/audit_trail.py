import asyncio
from mnemic import create_production_memory_manager
from mnemic import AuditEvent
from uuid import uuid4

async def test_audit_trail():
    memory = create_production_memory_manager()

    # Лог события
    event = AuditEvent(
        event_id=str(uuid4()),
        user_id="test_user",
        thread_id="test_thread",
        source="test",
        action="test_action",
        payload={"data": "test"}
    )

    await memory.alog_audit(event)
    print("✅ Event logged")

    # Получить snapshot
    snapshot = await memory.asnapshot_thread("test_thread")
    print(f"✅ Thread snapshot:\n{snapshot}")

asyncio.run(test_audit_trail())
