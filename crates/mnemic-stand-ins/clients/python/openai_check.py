"""Asks a stand-in what OpenAI's own client asks OpenAI; fails by its exit code. Arguments: address, flavour, model."""

import sys

import openai

BASE, FLAVOUR, MODEL = sys.argv[1] + "/v1", sys.argv[2], sys.argv[3]
NEAR = ["the dog ran across the park", "a dog was running in the park", "the bank raised interest rates"]
SIZES = {"openai": 3072, "ollama": 768, "vllm": 384}


def client(key="sk-right"):
    return openai.OpenAI(api_key=key, base_url=BASE, max_retries=0, timeout=30)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def refused(kind, call, *words):
    try:
        call()
    except kind as told:
        assert all(word in str(told) for word in words), str(told)
    else:
        raise AssertionError(f"{kind.__name__} was expected")


asked = client()
for form in (openai.NOT_GIVEN, "float", "base64"):
    found = asked.embeddings.create(model=MODEL, input=NEAR, encoding_format=form)
    assert [one.index for one in found.data] == [0, 1, 2] and found.usage.total_tokens > 0
    if form != "base64":
        dog, running, bank = (one.embedding for one in found.data)
        assert len(dog) == SIZES[FLAVOUR], len(dog)
        assert cosine(dog, running) > cosine(dog, bank) + 0.2
assert len(asked.embeddings.create(model=MODEL, input="one text").data) == 1
assert MODEL in [model.id for model in asked.models.list()]
refused(openai.NotFoundError, lambda: asked.embeddings.create(model="no-such-model", input=NEAR), "no-such-model")

if FLAVOUR == "openai":
    assert len(asked.embeddings.create(model=MODEL, input=NEAR, dimensions=2048).data[0].embedding) == 2048
    assert len(asked.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]]).data) == 2
    refused(openai.BadRequestError, lambda: asked.embeddings.create(model=MODEL, input=["a"] * 2049), "array too long")
    refused(openai.BadRequestError, lambda: asked.embeddings.create(model=MODEL, input=["word " * 9000]), "maximum context length")
    refused(openai.BadRequestError, lambda: asked.embeddings.create(model=MODEL, input=["a", ""]), "input")
    refused(openai.BadRequestError, lambda: asked.embeddings.create(model=MODEL, input="a", extra_body={"x": 1}), "Unrecognized")
    refused(openai.BadRequestError, lambda: asked.embeddings.create(model="text-embedding-ada-002", input="a", dimensions=8), "dimensions")
    refused(openai.AuthenticationError, lambda: client("sk-wrong").embeddings.create(model=MODEL, input="a"), "API key")
if FLAVOUR == "vllm":
    refused(openai.BadRequestError, lambda: asked.embeddings.create(model=MODEL, input="word " * 900), "maximum context length")
    cut = asked.embeddings.create(model=MODEL, input="word " * 900, extra_body={"truncate_prompt_tokens": -1})
    assert len(cut.data) == 1
print("all expectations hold")
