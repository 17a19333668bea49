"""The official client drives the stand-in through everything that it stands in for. Not here: comparing answers (qdrant_differential)."""

import sys
import uuid

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse


def refused(status, call):
    try:
        call()
    except (UnexpectedResponse, ResponseHandlingException) as error:
        assert getattr(error, "status_code", None) == status, f"expected {status}, got {error}"
        return
    raise AssertionError(f"expected {status}, got an answer")


def collection(client):
    name = "accepts"
    assert not client.collection_exists(name)
    client.create_collection(
        name,
        vectors_config={"text": models.VectorParams(size=4, distance=models.Distance.COSINE)},
        hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
        ),
        metadata={"owner": "test"},
    )
    refused(409, lambda: client.create_collection(name, vectors_config=models.VectorParams(size=2, distance="Dot")))
    client.create_payload_index(name, "city", models.KeywordIndexParams(type="keyword", is_tenant=True), wait=True)
    client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER, wait=True)
    info = client.get_collection(name)
    assert info.config.params.vectors["text"].size == 4 and info.config.hnsw_config.payload_m == 16
    assert info.config.metadata == {"owner": "test"} and set(info.payload_schema) == {"city", "n"}
    assert name in [c.name for c in client.get_collections().collections]
    return name


def points(client, name):
    ids = [1, 2, str(uuid.uuid4()), str(uuid.uuid4())]
    cities = ["Riga", "Riga", "Oslo", None]
    vectors = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 3, 4]]
    result = client.upsert(
        name,
        [models.PointStruct(id=i, vector={"text": v}, payload={"city": c, "n": n}) for n, (i, v, c) in enumerate(zip(ids, vectors, cities))],
        wait=True,
    )
    assert result.status == models.UpdateStatus.COMPLETED, result
    found = client.query_points(name, query=[1, 0, 0, 0], using="text", limit=2, with_payload=True, with_vectors=True).points
    assert [p.id for p in found] == [1, ids[2]] and abs(found[0].score - 1) < 1e-6, found
    riga = models.Filter(must=[models.FieldCondition(key="city", match=models.MatchValue(value="Riga"))])
    assert client.count(name, count_filter=riga).count == 2
    page, offset = client.scroll(name, limit=3, with_vectors=True)
    rest, end = client.scroll(name, limit=3, offset=offset)
    assert len(page) == 3 and len(rest) == 1 and end is None and page[0].vector["text"] == [1, 0, 0, 0]
    assert [p.payload["n"] for p in client.scroll(name, order_by=models.OrderBy(key="n", direction="desc"))[0]] == [3, 2, 1, 0]
    assert len(client.retrieve(name, [1, 99])) == 1
    fused = client.query_points(
        name,
        prefetch=[models.Prefetch(query=[1, 0, 0, 0], using="text", limit=2), models.Prefetch(query=[0, 1, 0, 0], using="text", limit=2)],
        query=models.FusionQuery(fusion=models.Fusion.RRF),
    ).points
    assert len(fused) == 3, fused
    batch = client.query_batch_points(name, [models.QueryRequest(query=[0, 1, 0, 0], using="text", limit=1)] * 2)
    assert [r.points[0].id for r in batch] == [2, 2]
    return ids, riga


def changes(client, name, ids, riga):
    client.set_payload(name, {"seen": True}, points=[1, 2])
    client.overwrite_payload(name, {"city": "Oslo"}, points=[2])
    client.delete_payload(name, ["seen"], points=riga)
    client.clear_payload(name, points_selector=[ids[3]])
    assert client.retrieve(name, [1])[0].payload == {"city": "Riga", "n": 0}
    client.upsert(name, [models.PointStruct(id=1, vector={"text": [0, 0, 0, 1]}, payload={"n": 9})], update_filter=models.Filter(must_not=[riga]))
    assert client.retrieve(name, [1])[0].payload["n"] == 0, "guarded"
    client.upsert(name, [models.PointStruct(id=77, vector={}, payload={})], update_mode=models.UpdateMode.UPDATE_ONLY)
    assert not client.retrieve(name, [77])
    client.delete(name, points_selector=[ids[2], 99])
    client.delete(name, points_selector=models.FilterSelector(filter=riga))
    assert client.count(name).count == 2


def refusals(client, name):
    refused(404, lambda: client.get_collection("absent"))
    refused(404, lambda: client.count("absent"))
    refused(400, lambda: client.upsert(name, [models.PointStruct(id=1, vector={"text": [1]}, payload={})]))
    refused(400, lambda: client.upsert(name, [models.PointStruct(id="no uuid", vector={"text": [1, 2, 3, 4]})]))
    refused(400, lambda: client.query_points(name, query=[1, 2, 3, 4], using="absent"))
    refused(400, lambda: client.scroll(name, order_by="unindexed"))
    client.update_collection(name, strict_mode_config=models.StrictModeConfig(enabled=True, unindexed_filtering_retrieve=False, max_query_limit=5))
    refused(400, lambda: client.count(name, count_filter=models.Filter(must=[models.FieldCondition(key="x", match=models.MatchValue(value=1))])))
    refused(400, lambda: client.scroll(name, limit=6))
    assert client.delete_collection(name) and not client.collection_exists(name)


def main(url):
    client = QdrantClient(url=url)
    name = collection(client)
    ids, riga = points(client, name)
    changes(client, name, ids, riga)
    refusals(client, name)
    print("accepted")


main(sys.argv[1])
