"""Applies a sequence of operations to a Pinecone index through Pinecone's own client, and prints what the index then holds and finds.
Not here: what the sequence should come to, which the caller compares."""

import json
import sys

from pinecone import Pinecone

url, host, namespace = sys.argv[1:4]
index = Pinecone(api_key="stand-in", host=url).Index(host=host)
script = json.load(sys.stdin)

for step in script["steps"]:
    if step["upsert"]:
        index.upsert(vectors=step["upsert"], namespace=namespace)
    if step["delete"]:
        try:
            index.delete(ids=step["delete"], namespace=namespace)
        except Exception as error:
            if "Namespace not found" not in str(error):
                raise

ids = []
for page in index.list(namespace=namespace):
    entries = page if isinstance(page, list) else page.vectors
    ids += [entry if isinstance(entry, str) else entry.id for entry in entries]
held = {}
for at in range(0, len(ids), 50):
    for id, vector in index.fetch(ids=ids[at : at + 50], namespace=namespace).vectors.items():
        held[id] = {"values": list(vector.values), "metadata": dict(vector.metadata or {})}
found = []
for query in script["queries"]:
    answer = index.query(vector=query, top_k=10, namespace=namespace)
    found.append([[match.id, match.score] for match in answer.matches])
print(json.dumps({"ids": ids, "held": held, "found": found}))
