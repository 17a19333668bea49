# test_memory_migration.py
import asyncio
from core.memory.memory_manager_v2 import create_production_memory_manager

async def test_connection():
    memory = create_production_memory_manager()

    # Health check
    health = await memory.health_check()
    print(f"Health: {health}")

    assert all(health.values()), "Some backends are unhealthy!"
    print("✅ All backends healthy")

asyncio.run(test_connection())
