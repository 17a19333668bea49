"""Holds the Pinecone stand-in to what Pinecone's own Python client expects. Not here: what only the HTTP interface shows."""

import sys

from pinecone import Pinecone, ServerlessSpec

url = sys.argv[1]
checks = 0


def same(found, wanted, what):
    global checks
    checks += 1
    assert found == wanted, f"{what}: expected {wanted!r}, found {found!r}"


def refused(call, *words):
    global checks
    checks += 1
    try:
        call()
    except Exception as error:  # every client version has its own classes
        text = f"{type(error).__name__} {error}"
        for word in words:
            assert word.lower() in text.lower(), f"expected {word!r} in {text!r}"
        return
    raise AssertionError(f"was not refused: {words}")


def name(namespace):
    """Versions differ in how they call the default namespace."""
    return "" if namespace == "__default__" else namespace


pc = Pinecone(api_key="stand-in", host=url)
pc.create_index(
    name="check",
    dimension=4,
    metric="cosine",
    spec=ServerlessSpec(cloud="aws", region="us-east-1"),
    deletion_protection="enabled",
    tags={"purpose": "check"},
)
described = pc.describe_index("check")
same(described.name, "check", "name")
same(described.status.ready, True, "ready")
same(dict(described.tags), {"purpose": "check"}, "tags")
same([index.name for index in pc.list_indexes()], ["check"], "listed")
same(pc.has_index("check"), True, "has_index")
refused(lambda: pc.describe_index("absent"), "not found")
refused(
    lambda: pc.create_index(name="check", dimension=4, spec=ServerlessSpec(cloud="aws", region="us-east-1")),
    "already exists",
)
refused(
    lambda: pc.create_index(name="far", dimension=4, spec=ServerlessSpec(cloud="aws", region="mars-1")), "not found"
)
refused(lambda: pc.delete_index("check"), "deletion protection")

index = pc.Index(host=described.host)
vectors = [
    {"id": f"v{n}", "values": [1.0, n / 10, 0.0, 0.0], "metadata": {"n": n, "tags": ["even" if n % 2 == 0 else "odd"]}}
    for n in range(20)
]
same(index.upsert(vectors=vectors, namespace="ns").upserted_count, 20, "upserted")
index.upsert(vectors=[("d", [0.0, 0.0, 0.0, 1.0])])

found = index.query(vector=[1, 0, 0, 0], top_k=3, namespace="ns", include_metadata=True)
same([match.id for match in found.matches], ["v0", "v1", "v2"], "closest")
assert abs(found.matches[0].score - 1) < 1e-6, found.matches[0]
same(dict(found.matches[1].metadata), {"n": 1.0, "tags": ["odd"]}, "metadata")
same(len(index.query(id="v5", top_k=1, namespace="ns", include_values=True).matches[0].values), 4, "values")
for condition, wanted in [
    ({"n": {"$gte": 18}}, {"v18", "v19"}),
    ({"tags": {"$in": ["even"]}, "n": {"$lt": 3}}, {"v0", "v2"}),
    ({"$or": [{"n": 3}, {"n": {"$eq": 4}}]}, {"v3", "v4"}),
    ({"$and": [{"tags": {"$nin": ["even"]}}, {"n": {"$lte": 3}}]}, {"v1", "v3"}),
    ({"n": {"$exists": False}}, set()),
]:
    hits = index.query(vector=[1, 0, 0, 0], top_k=20, namespace="ns", filter=condition).matches
    same({hit.id for hit in hits}, wanted, condition)

fetched = index.fetch(ids=["v1", "absent"], namespace="ns")
same(sorted(fetched.vectors), ["v1"], "fetched")
same(fetched.namespace, "ns", "namespace")
same(sorted(index.fetch_by_metadata(filter={"n": {"$lt": 2}}, namespace="ns").vectors), ["v0", "v1"], "by metadata")
index.update(id="v1", set_metadata={"n": 100}, namespace="ns")
same(dict(index.fetch(ids=["v1"], namespace="ns").vectors["v1"].metadata), {"n": 100.0, "tags": ["odd"]}, "updated")
index.update(id="v1", values=[0.0, 1.0, 0.0, 0.0], namespace="ns")
same(list(index.fetch(ids=["v1"], namespace="ns").vectors["v1"].values), [0.0, 1.0, 0.0, 0.0], "new values")

listed = []
for page in index.list(prefix="v1", limit=4, namespace="ns"):
    ids = page if isinstance(page, list) else page.vectors
    listed += [entry if isinstance(entry, str) else entry.id for entry in ids]
same(listed, sorted(["v1"] + [f"v{n}" for n in range(10, 20)]), "listed by prefix")

stats = index.describe_index_stats()
same(stats.total_vector_count, 21, "total")
same({name(key): space.vector_count for key, space in stats.namespaces.items()}, {"": 1, "ns": 20}, "counts")
spaces = {name(space.name): int(space.record_count) for page in index.list_namespaces() for space in page.namespaces}
same(spaces, {"": 1, "ns": 20}, "namespaces")
same(int(index.describe_namespace(namespace="ns").record_count), 20, "namespace")
index.create_namespace(name="made")
refused(lambda: index.create_namespace(name="made"), "exists")

index.delete(ids=["v1", "absent"], namespace="ns")
index.delete(filter={"n": {"$gte": 15}}, namespace="ns")
same(index.describe_index_stats().namespaces["ns"].vector_count, 14, "after deleting")
index.delete(delete_all=True, namespace="ns")
same(index.query(vector=[1, 0, 0, 0], top_k=3, namespace="ns").matches, [], "after deleting all")
refused(lambda: index.delete(ids=["v1"], namespace="absent"), "namespace not found")
index.delete_namespace(namespace="ns")

refused(lambda: index.upsert(vectors=[("x", [1.0, 2.0])]), "dimension 2", "dimension of the index 4")
refused(lambda: index.upsert(vectors=[("x", [0.0, 0.0, 0.0, 0.0])]), "at least one non-zero")
refused(
    lambda: index.upsert(vectors=[{"id": "x", "values": [1.0] * 4, "metadata": {"a": {"b": 1}}}]),
    "Metadata value must be a string, number, boolean or list of strings",
)
refused(
    lambda: index.upsert(vectors=[{"id": "x", "values": [1.0] * 4, "metadata": {"a": "x" * 41000}}]),
    "exceeds the limit of 40960 bytes",
)
refused(lambda: index.query(vector=[1, 0, 0, 0], top_k=3, filter={"n": {"$regex": "x"}}))
refused(lambda: Pinecone(api_key="wrong", host=url).list_indexes()[0], "")

pc.configure_index("check", deletion_protection="disabled", tags={"purpose": "", "more": "yes"})
same(dict(pc.describe_index("check").tags), {"more": "yes"}, "changed tags")
pc.delete_index("check")
same(pc.has_index("check"), False, "deleted")
print(f"{checks} checks hold")
