"""Asks a stand-in what Google's own client asks Gemini; fails by its exit code. Argument: the stand-in's address."""

import sys

from google import genai
from google.genai import errors, types

NEAR = ["the dog ran across the park", "a dog was running in the park", "the bank raised interest rates"]


def client(key="right", version=None):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=sys.argv[1], api_version=version))


def embed(asked, texts, model="gemini-embedding-001", **config):
    found = asked.models.embed_content(model=model, contents=texts, config=types.EmbedContentConfig(**config))
    return [one.values for one in found.embeddings]


def length(vector):
    return sum(x * x for x in vector) ** 0.5


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / (length(a) * length(b))


def refused(code, call, *words):
    try:
        call()
    except errors.APIError as told:
        assert told.code == code and all(word in str(told) for word in words), str(told)
    else:
        raise AssertionError(f"{code} was expected")


for version in (None, "v1", "v1beta"):
    asked = client(version=version)
    dog, running, bank = embed(asked, NEAR, task_type="RETRIEVAL_DOCUMENT", output_dimensionality=2048)
    assert len(dog) == 2048 and cosine(dog, running) > cosine(dog, bank) + 0.2
    assert length(dog) < 0.95, "the first model leaves shortened vectors short"

asked = client()
assert abs(length(embed(asked, NEAR)[0]) - 1) < 1e-3 and len(embed(asked, NEAR)[0]) == 3072
# The client joins a list of strings into one content for the second model.
assert len(embed(asked, NEAR, model="gemini-embedding-2", output_dimensionality=768)) in (1, 3)
assert abs(length(embed(asked, ["a"], model="gemini-embedding-2", output_dimensionality=768)[0]) - 1) < 1e-3

refused(400, lambda: embed(asked, ["a"] * 101), "at most 100 requests can be in one batch")
refused(400, lambda: embed(asked, ["a"], output_dimensionality=4000), "output_dimensionality")
refused(404, lambda: embed(asked, ["a"], model="text-embedding-004"), "not found")
refused(400, lambda: embed(client("wrong"), ["a"]), "API_KEY_INVALID")
print("all expectations hold")
