"""The static model file: its layout, a writer, and a reference reader that embeds texts.

This is the reference for crates/mnemic-embedders/src/static_model; it does not make the vectors (build.py does).

Layout, little-endian, `n` tokens of `d` dimensions:

    0   8  magic "MNEMSTAT"
    8   4  format version, 1
    12  4  tokenizer, 1 = WordPiece over BERT's uncased normalization
    16  4  scripts of the model as a set of bits, 1 = Latin, 2 = Cyrillic
    20  4  d
    24  4  n
    28  4  v, length of all token strings together in bytes
    32  16 model name, ASCII, zero-padded
    48  4  CRC-32 (IEEE) of bytes 0..48 followed by bytes 52..end
    52     n+1 u32 offsets into the strings, v bytes of strings (UTF-8, `##` marks a continuation),
           n f32 scales, n*d i8 rows; the vector of a token is its scale times its row
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

MAGIC = b"MNEMSTAT"
VERSION = 1
WORDPIECE_UNCASED = 1
HEADER = struct.Struct("<8s6I16s")
LATIN, CYRILLIC = 1, 2
SCRIPTS = {
    LATIN: ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x2AF),
            (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF)),
    CYRILLIC: ((0x400, 0x52F), (0x1C80, 0x1C8F), (0xA640, 0xA69F)),
}


def quantize(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per-row scales (f32) and rows (i8) whose product approximates the vectors."""
    scales = np.maximum(np.abs(vectors).max(axis=1) / 127.0, 1e-12).astype(np.float32)
    return scales, np.clip(np.rint(vectors / scales[:, None]), -127, 127).astype(np.int8)


def write(path: Path, name: str, scripts: int, tokens: list[str], vectors: np.ndarray) -> None:
    strings = [token.encode("utf-8") for token in tokens]
    offsets = np.cumsum([0] + [len(s) for s in strings]).astype("<u4")
    scales, rows = quantize(vectors)
    count, dimension = rows.shape
    sizes = (dimension, count, int(offsets[-1]))
    head = HEADER.pack(MAGIC, VERSION, WORDPIECE_UNCASED, scripts, *sizes, name.encode("ascii"))
    body = offsets.tobytes() + b"".join(strings) + scales.astype("<f4").tobytes() + rows.tobytes()
    path.write_bytes(head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body)


def mostly_foreign(text: str, scripts: int) -> bool:
    """Whether at least half of the letters are outside `scripts`."""
    letters = [ord(c) for c in text if unicodedata.category(c)[0] == "L"]
    ranges = [r for script, ranges in SCRIPTS.items() if script & scripts for r in ranges]
    own = sum(any(low <= c <= high for low, high in ranges) for c in letters)
    return len(letters) > 0 and len(letters) - own >= own


class StaticModel:
    """A model file in memory."""

    def __init__(self, name: str, scripts: int, tokens: list[str], vectors: np.ndarray):
        self.name, self.scripts, self.tokens, self.vectors = name, scripts, tokens, vectors
        vocabulary = {token: i for i, token in enumerate(tokens)}
        vocabulary["[UNK]"] = len(tokens)
        self.tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
        self.tokenizer.normalizer = BertNormalizer()
        self.tokenizer.pre_tokenizer = BertPreTokenizer()

    @staticmethod
    def read(path: Path) -> StaticModel:
        data = path.read_bytes()
        magic, version, tokenizer, scripts, dimension, count, length, name = HEADER.unpack_from(data)
        (checksum,) = struct.unpack_from("<I", data, HEADER.size)
        start = HEADER.size + 4
        if (magic, version, tokenizer) != (MAGIC, VERSION, WORDPIECE_UNCASED):
            raise ValueError(f"{path} is not a WordPiece static model of version {VERSION}")
        if zlib.crc32(data[start:], zlib.crc32(data[: HEADER.size])) != checksum:
            raise ValueError(f"{path} fails its checksum")
        offsets = np.frombuffer(data, "<u4", count + 1, start)
        start += 4 * (count + 1)
        tokens = [data[start + a : start + b].decode("utf-8") for a, b in zip(offsets[:-1], offsets[1:])]
        start += length
        scales = np.frombuffer(data, "<f4", count, start)
        rows = np.frombuffer(data, np.int8, count * dimension, start + 4 * count).reshape(count, dimension)
        vectors = rows.astype(np.float32) * scales[:, None]
        return StaticModel(name.rstrip(b"\0").decode("ascii"), scripts, tokens, vectors)

    def pieces(self, text: str) -> list[str]:
        """Known pieces of a text, in order; unknown words are left out."""
        return [t for t in self.tokenizer.encode(text, add_special_tokens=False).tokens if t != "[UNK]"]

    def embed(self, texts: list[str]) -> np.ndarray:
        """Unit vectors; a zero row for a text that the model cannot represent."""
        out = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        for i, text in enumerate(texts):
            ids = self.tokenizer.encode(text, add_special_tokens=False).ids
            ids = [token for token in ids if token < len(self.tokens)]
            if not ids or mostly_foreign(text, self.scripts):
                continue
            total = self.vectors[ids].astype(np.float64).sum(axis=0)
            out[i] = total / np.linalg.norm(total)
        return out
