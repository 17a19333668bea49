"""The README's first program: remember something, ask for it in other words, see why it was found. No key, no server.

Run: pip install mnemic && python quickstart.py
"""

import asyncio

from mnemic import MemoryRecord, create_embedded_memory_manager


async def main() -> None:
    async with create_embedded_memory_manager("./memory") as memory:
        learned = [
            MemoryRecord(user_id="anna", text="The reply to USCIS is due on June 2, 2026.", tags=["deadline"]),
            MemoryRecord(user_id="anna", text="Anna prefers morning flights.", tags=["travel"]),
        ]
        await memory.awrite(learned, dedupe=True)
        for found in await memory.aretrieve("До какого числа нужно ответить на запрос?", user_id="anna"):
            print(f"{found.score:.2f}  {found.text}  {[leg.leg for leg in found.explanation.legs]}")


asyncio.run(main())
