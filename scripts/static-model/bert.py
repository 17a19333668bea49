"""BERT forward pass in NumPy for inputs that all have the same length, as the recipe needs it.

Not a general runtime: no attention mask, no batches of unequal lengths; whole texts are not its job.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's integral up to x, by Abramowitz and Stegun 7.1.26 (error below 1e-6)."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail = (tail + np.float32(coefficient)) * t
    tail *= np.exp(-z * z) * np.float32(0.5)
    return np.where(x > 0, x * (1 - tail), x * tail)


class Bert:
    """An encoder over weights under the names of a Hugging Face BERT."""

    def __init__(self, weights: dict[str, np.ndarray], layers: int, heads: int, epsilon: float):
        self.w, self.layers, self.heads, self.epsilon = weights, layers, heads, np.float32(epsilon)

    @staticmethod
    def read(directory: Path) -> Bert:
        config = json.loads((directory / "config.json").read_text())
        weights = load_file(directory / "model.safetensors")
        return Bert(
            {name.removeprefix("bert."): value.astype(np.float32) for name, value in weights.items()},
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["layer_norm_eps"],
        )

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt(np.square(x).mean(-1, keepdims=True) + self.epsilon)
        return x / deviation * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """Token outputs, shape (batch, length, hidden), of ids with shape (batch, length)."""
        batch, length = ids.shape
        x = self.w["embeddings.word_embeddings.weight"][ids]
        x = x + self.w["embeddings.position_embeddings.weight"][:length]
        x = x + self.w["embeddings.token_type_embeddings.weight"][0]
        hidden = x.shape[-1]
        # Rows of one matrix rather than a stack of small ones: one large product each.
        x = self._norm(x.reshape(-1, hidden), "embeddings.LayerNorm")
        size = hidden // self.heads
        for layer in range(self.layers):
            p = f"encoder.layer.{layer}"
            q, k, v = (
                self._linear(x, f"{p}.attention.self.{part}")
                .reshape(batch, length, self.heads, size)
                .transpose(0, 2, 1, 3)
                for part in ("query", "key", "value")
            )
            scores = np.einsum("bhte,bhse->bhts", q, k) * np.float32(size**-0.5)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            context = np.einsum("bhts,bhse->bhte", scores, v).transpose(0, 2, 1, 3).reshape(-1, hidden)
            x = self._norm(x + self._linear(context, f"{p}.attention.output.dense"), f"{p}.attention.output.LayerNorm")
            inner = gelu(self._linear(x, f"{p}.intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{p}.output.dense"), f"{p}.output.LayerNorm")
        return x.reshape(batch, length, hidden)


def token_vectors(model: Bert, tokens: np.ndarray, begin: int, end: int, label: str, batch: int = 256) -> np.ndarray:
    """The mean of the model's outputs on `begin t end`, for every token id `t`."""
    out = []
    for start in range(0, len(tokens), batch):
        part = tokens[start : start + batch]
        ids = np.stack([np.full_like(part, begin), part, np.full_like(part, end)], axis=1)
        out.append(model.forward(ids).mean(axis=1))
        print(f"\r{label}: {start + len(part)}/{len(tokens)} tokens", end="", flush=True)
    print()
    return np.concatenate(out)
