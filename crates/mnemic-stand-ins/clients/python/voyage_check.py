"""Asks a stand-in what Voyage's own client asks Voyage; fails by its exit code. Argument: the stand-in's address."""

import sys

import voyageai
from voyageai import error

BASE = sys.argv[1] + "/v1"
NEAR = ["the dog ran across the park", "a dog was running in the park", "the bank raised interest rates"]


def client(key="pa-right"):
    return voyageai.Client(api_key=key, base_url=BASE, max_retries=0, timeout=30)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def refused(kind, call, *words):
    try:
        call()
    except kind as told:
        assert all(word in str(told) for word in words), str(told)
    else:
        raise AssertionError(f"{kind.__name__} was expected")


vo = client()
found = vo.embed(NEAR, model="voyage-3-large", input_type="document", output_dimension=2048)
assert [len(vector) for vector in found.embeddings] == [2048] * 3, [len(vector) for vector in found.embeddings]
assert found.total_tokens > 0
dog, running, bank = found.embeddings
assert cosine(dog, running) > cosine(dog, bank) + 0.2

assert len(vo.embed("one text", model="voyage-4").embeddings[0]) == 1024, "the default dimension is 1024"
query = vo.embed(NEAR[:1], model="voyage-3-large", input_type="query", output_dimension=2048).embeddings[0]
assert query != dog and cosine(query, dog) > 0.9

ranked = vo.rerank("Who plays the cello?", ["the filing fee", "she plays the cello", "a dog"], model="rerank-2.5", top_k=2)
assert [one.index for one in ranked.results][0] == 1 and len(ranked.results) == 2, ranked.results
assert ranked.results[0].document == "she plays the cello"
assert ranked.results[0].relevance_score > ranked.results[1].relevance_score

refused(error.InvalidRequestError, lambda: vo.embed(["a"] * 1001, model="voyage-4"), "batch size limit is 1000")
refused(error.InvalidRequestError, lambda: vo.embed(["word " * 20000] * 10, model="voyage-4-large"), "max allowed tokens", "120000")
refused(error.InvalidRequestError, lambda: vo.embed(["a"], model="voyage-9"), "not supported")
refused(error.InvalidRequestError, lambda: vo.embed(["a"], model="voyage-4", output_dimension=1000), "output_dimension")
refused(error.AuthenticationError, lambda: client("pa-wrong").embed(["a"], model="voyage-4"), "invalid")
print("all expectations hold")
