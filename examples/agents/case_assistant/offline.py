"""A scripted model for work without a network: it follows plain rules. Not here: real models (`model`)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from .model import Message, ModelError, ScriptedModel

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_PERSONA = re.compile(r"\b(prefers?|please (write|call|speak)|rather)\b", re.IGNORECASE)
_OPEN_LOOP = re.compile(r"\b(needs?|must|has to|have to|due|waiting for|please send)\b|\?$", re.IGNORECASE)
_SETTLES = re.compile(r"\b(sent|received|filed|signed|paid|attached|done)\b", re.IGNORECASE)
_WORD = re.compile(r"\w{4,}")
_SUMMARY_SENTENCES = 3


def offline_model() -> ScriptedModel:
    """A model that takes each sentence for a fact (by its words for a preference or an open loop) and the last ones for a summary."""
    return ScriptedModel(_answer)


def _answer(messages: Sequence[Message]) -> str:
    given = json.loads(messages[-1]["content"])
    if given["task"] == "reflect":
        facts = [_fact(sentence, given["open_loops"]) for sentence in _sentences(given["message"])]
        return json.dumps({"facts": facts}, ensure_ascii=False)
    if given["task"] == "summarize":
        sentences = [*_sentences(given["summary"]), *_sentences(given["message"])]
        return " ".join(sentences[-_SUMMARY_SENTENCES:])
    raise ModelError(f"task: expected reflect or summarize, found {given['task']!r}")


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE.split(text.strip()) if sentence]


def _fact(sentence: str, open_loops: dict[str, str]) -> dict[str, object]:
    if _PERSONA.search(sentence):
        return {"kind": "persona", "text": sentence}
    if _SETTLES.search(sentence):
        closes = [int(number) for number, loop in open_loops.items() if len(_words(loop) & _words(sentence)) >= 2]
        return {"kind": "semantic", "text": sentence, "closes": closes}
    return {"kind": "open_loop" if _OPEN_LOOP.search(sentence) else "semantic", "text": sentence}


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
