"""The same random points, filters, queries and changes to the stand-in and to the local mode of the official client: equal answers.

Usage: qdrant_differential.py URL SEED CASES. Not here: what the server alone does (indexes, strict mode, errors).
"""

import random
import sys
import uuid
import warnings

from qdrant_client import QdrantClient, models

SIZE = 6
TEXTS = ["", "fee", "Fee is 1055", "the filing fee", "срок подачи", "fee-fee_fee", "2026-01-05T00:00:00Z", "2026-01-05",
         "2026-01-05T03:00:00.5+03:00", "2025-12-31 23:59:59.999999", "not a date"]
KEYS = ["a", "b", "c", "c.x", "c.x.y", "l", "l[].x", "l[0].x", "l[]", "d", "absent", "c[].x", '"a.b"', "l[].m[]"]


class Case:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def scalar(self):
        return self.rng.choice([None, True, False, 0, 1, 2, -3, 1.0, 0.5, -2.5, 1e300, 9007199254740991, *TEXTS])

    def value(self, depth=2):
        kind = self.rng.random()
        if depth == 0 or kind < 0.55:
            return self.scalar()
        if kind < 0.8:
            return [self.value(depth - 1) for _ in range(self.rng.randrange(4))]
        return {k: self.value(depth - 1) for k in "xym" if self.rng.random() < 0.6}

    def payload(self):
        payload = {k: self.value(3) for k in ["a", "b", "c", "d", "a.b"] if self.rng.random() < 0.7}
        if self.rng.random() < 0.6:
            payload["l"] = [{k: self.value(1) for k in "xm" if self.rng.random() < 0.7} for _ in range(self.rng.randrange(4))]
        if self.rng.random() < 0.8:
            payload["num"] = self.rng.choice([1, 2, 2, 3.5, -1, [4, 5], None])
        if self.rng.random() < 0.5:
            payload["when"] = self.rng.choice(TEXTS[6:9])
        return payload

    def vector(self):
        return [self.rng.gauss(0, 1) for _ in range(SIZE)]

    def match(self):
        strings, numbers = self.rng.sample(TEXTS, 3), self.rng.sample([0, 1, 2, -3], 2)
        several = self.rng.choice([strings, numbers])
        return self.rng.choice([
            models.MatchValue(value=self.rng.choice([True, False, 0, 1, 2, *TEXTS])),
            models.MatchAny(any=several),
            models.MatchExcept(**{"except": several}),
            models.MatchText(text=self.rng.choice(["fee", "FEE is", "filing the", "срок", "", "fe", "fee fee"])),
            models.MatchTextAny(text_any=self.rng.choice(["fee x", "nothing", "", "подачи filing"])),
            models.MatchPhrase(phrase=self.rng.choice(["filing fee", "fee filing", "fee", ""])),
            models.MatchPrefix(prefix=self.rng.choice(["fee", "", "Fee ", "2026"])),
        ])

    def range(self):
        if self.rng.random() < 0.3:
            ends = {e: self.rng.choice(["2026-01-05T00:00:00Z", "2025-12-31T23:59:59Z", "2026-01-05T00:00:00.5Z"])
                    for e in self.rng.sample(["lt", "lte", "gt", "gte"], self.rng.randrange(1, 3))}
            return models.DatetimeRange(**ends)
        ends = {e: self.rng.choice([0, 1, 2.5, -3, 0.5, 1e300]) for e in self.rng.sample(["lt", "lte", "gt", "gte"], self.rng.randrange(1, 3))}
        return models.Range(**ends)

    def field(self):
        key = self.rng.choice(KEYS)
        kind = self.rng.randrange(10)
        if kind < 4:
            return models.FieldCondition(key=key, match=self.match())
        if kind < 6:
            return models.FieldCondition(key=key, range=self.range())
        if kind == 6:
            return models.FieldCondition(key=key, values_count=models.ValuesCount(**{self.rng.choice(["lt", "lte", "gt", "gte"]): self.rng.randrange(4)}))
        if kind == 7:
            return models.FieldCondition(key=key, is_empty=self.rng.random() < 0.5)
        if kind == 8:
            return models.FieldCondition(key=key, is_null=self.rng.random() < 0.5)
        return self.rng.choice([models.IsEmptyCondition(is_empty=models.PayloadField(key=key)), models.IsNullCondition(is_null=models.PayloadField(key=key))])

    def condition(self, ids, depth, nested=False):
        kind = self.rng.random()
        if depth > 0 and kind < 0.25:
            return self.filter(ids, depth - 1, nested)
        if kind < 0.35:
            inner = self.filter(ids, min(depth, 1), True)
            return models.NestedCondition(nested=models.Nested(key=self.rng.choice(["l", "l[]", "c", "d", "c.x"]), filter=inner))
        if kind < 0.42 and not nested:
            return models.HasIdCondition(has_id=self.rng.sample(ids, self.rng.randrange(len(ids))))
        if kind < 0.45 and not nested:
            return models.HasVectorCondition(has_vector=self.rng.choice(["v", "w", "absent"]))
        return self.field()

    def filter(self, ids, depth=2, nested=False):
        def some(least=0):
            found = [self.condition(ids, depth, nested) for _ in range(self.rng.randrange(least, 3))]
            return found[0] if len(found) == 1 and self.rng.random() < 0.3 else found

        clauses = {name: some() for name in ["must", "must_not", "should"] if self.rng.random() < 0.5}
        if self.rng.random() < 0.2:
            conditions = [self.condition(ids, depth, nested) for _ in range(self.rng.randrange(4))]
            clauses["min_should"] = models.MinShould(conditions=conditions, min_count=self.rng.randrange(1, 4))
        return models.Filter(**clauses)


def listed(records):
    return [(r.id, r.payload, r.vector) for r in records]


def close(one, other):
    """Equal but for the last digits of floats in vectors."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return all(close(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        return all(close(a, b) for a, b in zip(one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-5 * max(1, abs(other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def same(what, one, other, told):
    if close(one, other):
        return
    if isinstance(one, list) and isinstance(other, list):
        differing = [pair for pair in zip(one, other) if not close(*pair)][:2]
        one, other = (len(one), [a for a, _ in differing]), (len(other), [b for _, b in differing])
    raise AssertionError(f"{what} differ for {told}:\n  stand-in: {one}\n  local:    {other}")


def same_ranking(what, one, other, told, limit):
    """Equal scores in order; the same points wherever a score tells which: equals at the limit may be any of them."""
    assert len(one) == len(other), f"{what}: {len(one)} and {len(other)} points for {told}"
    for a, b in zip(one, other):
        assert abs(a.score - b.score) < 2e-5 * max(1, abs(b.score)), f"{what}: {a.score} and {b.score} for {told}"
    last = other[-1].score if len(other) == limit else None
    def sure(points):
        return {p.id for p in points if last is None or abs(p.score - last) > 1e-4}
    same(what, sure(one), sure(other), told)


def both(clients, call):
    outcomes = []
    for client in clients:
        try:
            outcomes.append(call(client))
        except Exception as error:  # whatever one refuses the other must refuse
            outcomes.append(error)
    if any(isinstance(o, Exception) for o in outcomes):
        assert all(isinstance(o, Exception) for o in outcomes), f"one refuses: {outcomes}"
        return None
    return outcomes


def fill(case, clients, name):
    vectors = {"v": models.VectorParams(size=SIZE, distance=case.rng.choice(list(models.Distance))),
               "w": models.VectorParams(size=SIZE, distance=models.Distance.COSINE)}
    ids = [n if case.rng.random() < 0.4 else str(uuid.UUID(int=case.rng.getrandbits(128))) for n in range(24)]
    points = []
    for i in ids:
        vector = {n: case.vector() for n in "vw" if case.rng.random() < 0.85}
        points.append(models.PointStruct(id=i, vector=vector, payload=case.payload()))
    for client in clients:
        client.create_collection(name, vectors_config=vectors)
        client.create_payload_index(name, "num", "float")
        client.create_payload_index(name, "when", "datetime")
        client.upsert(name, points, wait=True)
    return ids


def ask(case, clients, name, ids):
    f = case.filter(ids)
    kind, limit, told = case.rng.randrange(7), case.rng.choice([1, 3, 10, 100]), f.model_dump(exclude_none=True)
    if kind == 0:
        counts = both(clients, lambda c: c.count(name, count_filter=f).count)
        counts and same("counts", *counts, told)
    elif kind == 1:
        selector = case.rng.choice([True, False, ["a", "c.x", "l[].x"], models.PayloadSelectorExclude(exclude=["b", "l[].m", "c"])])
        start = case.rng.choice([None, case.rng.choice(ids)])
        pages = both(clients, lambda c: c.scroll(name, scroll_filter=f, limit=limit, offset=start, with_payload=selector, with_vectors=True))
        if pages:
            same("pages", *[(listed(records), offset) for records, offset in pages], told)
    elif kind == 2:
        order = models.OrderBy(key=case.rng.choice(["num", "when"]), direction=case.rng.choice(["asc", "desc", None]),
                               start_from=case.rng.choice([None, None, 2]))
        pages = both(clients, lambda c: c.scroll(name, scroll_filter=f, limit=limit, order_by=order))
        if pages:
            same("order values", *[[r.order_value for r in records] for records, _ in pages], told)
            if limit == 100:
                same("ordered", *[sorted((r.order_value, str(r.id)) for r in records) for records, _ in pages], told)
    elif kind == 3:
        weights = case.rng.choice([None, [1.0, 2.5]])
        query = case.rng.choice([models.FusionQuery(fusion="rrf"), models.FusionQuery(fusion="dbsf"), models.RrfQuery(rrf=models.Rrf(k=3, weights=weights)), case.vector()])
        prefetch = [models.Prefetch(query=case.vector(), using=case.rng.choice("vw"), limit=case.rng.choice([2, 5, 20]), filter=case.rng.choice([None, case.filter(ids, 1)])) for _ in range(2)]
        found = both(clients, lambda c: c.query_points(name, prefetch=prefetch, query=query, using="w" if isinstance(query, list) else None, query_filter=f, limit=limit).points)
        found and same_ranking("fused", *found, told, limit)
    else:
        query, using = case.rng.choice([case.vector(), case.rng.choice(ids)]), case.rng.choice("vw")
        threshold, offset = case.rng.choice([None, None, 0.1, 3.0]), case.rng.choice([0, 0, 2])
        found = both(clients, lambda c: c.query_points(name, query=query, using=using, query_filter=f, limit=limit, offset=offset, score_threshold=threshold).points)
        found and same_ranking("hits", *found, told, limit)


def change(case, clients, name, ids):
    f, kind = case.filter(ids, 1), case.rng.randrange(7)
    some = case.rng.sample(ids, 3)
    if kind == 0:
        points = [models.PointStruct(id=i, vector={"v": case.vector()}, payload=case.payload()) for i in some + [1000 + case.rng.randrange(5)]]
        mode = case.rng.choice([None, *models.UpdateMode])
        both(clients, lambda c: c.upsert(name, points, update_filter=f, update_mode=mode))
    elif kind == 1:
        both(clients, lambda c: c.delete(name, models.FilterSelector(filter=models.Filter(must=[f, models.HasIdCondition(has_id=some)]))))
    elif kind == 2:
        both(clients, lambda c: c.delete(name, some[:1]))
    elif kind == 3:
        key = case.rng.choice([None, "c", "l[].x", "l[0]", "new.deep"])
        payload = {"x": case.value(1), "z": case.scalar()}
        both(clients, lambda c: c.set_payload(name, payload, points=f, key=key))
    elif kind == 4:
        payload = {"a": case.scalar() or 0}
        both(clients, lambda c: c.overwrite_payload(name, payload, points=some))
    elif kind == 5:
        keys = case.rng.sample(["a", "c.x", "l[].x", "l[]", "l[0]", '"a.b"'], 2)
        both(clients, lambda c: c.delete_payload(name, keys, points=f))
    else:
        both(clients, lambda c: c.clear_payload(name, points_selector=some))
    states = both(clients, lambda c: listed(c.scroll(name, limit=100, with_vectors=True)[0]))
    same("states", *states, f"change {kind}")


def main(url, seed, cases):
    warnings.simplefilter("ignore")
    clients = [QdrantClient(url=url), QdrantClient(":memory:")]
    done = 0
    for round_ in range(10**9):
        case, name = Case(f"{seed}-{round_}"), f"differential-{round_}"
        ids = fill(case, clients, name)
        for n in range(40):
            ask(case, clients, name, ids)
            if n % 4 == 3:
                change(case, clients, name, ids)
            done += 1
        for client in clients:
            client.delete_collection(name)
        if done >= cases:
            print(f"{done} cases are equal")
            return


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
