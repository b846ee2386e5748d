"""Writes this task's data files: `python tasks/translation/generate.py`. The same files come out every time.

A small grammar makes English sentences and their translations from the words of lexicon.yaml. Choices are made by
sorting on a hash of (seed, purpose, item), so that they depend on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml

SEED = 0
TEST, DEV, TRAIN, DEMONSTRATIONS = 400, 200, 2000, 4000
WRONG = 0.45
FRAMES = {"plain": 1500, "attribute": 2600, "seen": 900}

# Adjectives that exclude each other; only degrees can be "very" so.
COLOURS = ("red", "white", "black", "green", "yellow")
DEGREES = (("big", "small"), ("old", "modern"), ("beautiful", "strange"), ("expensive",))
ADJECTIVES = tuple(adjective for group in (*DEGREES, COLOURS) for adjective in group)
DETERMINERS = ("the", "this", "my", "our")

LEXICON = yaml.safe_load((Path(__file__).parent / "lexicon.yaml").read_text(encoding="utf-8"))
NOUNS, WORDS = LEXICON["nouns"], LEXICON["adjectives"]
BEFORE_THE_NOUN = ("big", "small", "old", "beautiful")  # in French; in Spanish all follow the noun

Form = tuple[str, bool]
"""Gender (m, f or n) and whether it is plural."""


@dataclass(frozen=True)
class Sentence:
    """An English sentence: "DETERMINER [attribute] NOUN is [very] predicate", or without a predicate "I see ..."."""

    determiner: str
    attribute: str
    noun: str
    plural: bool
    very: bool
    predicate: str


@dataclass(frozen=True)
class Agreement:
    """The forms that words take for the noun; a wrong translation differs in one of them."""

    determiner: Form
    attribute: Form
    predicate: Form


def draw(purpose: str, *item: object) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = repr((SEED, purpose, *item))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(items: Iterable[Any], purpose: str) -> list[Any]:
    """Return the items in the fixed order of a purpose."""
    return sorted(items, key=lambda item: draw(purpose, item))


def noun(language: str, sentence: Sentence) -> tuple[str, str]:
    """Return the gender of the noun, and the noun itself in the number and case of the sentence."""
    gender, singular, plural, *accusative = NOUNS[sentence.noun][language].split()
    if sentence.plural:
        return gender, plural
    return gender, accusative[0] if accusative and not sentence.predicate else singular


def word(language: str, adjective: str) -> str:
    """Return the entry of an adjective in the lexicon."""
    return str(WORDS[adjective][language])


def determiners(language: str, sentence: Sentence) -> list[str]:
    """Return the forms of the sentence's determiner; Slovak and Russian have no article, so "the" has none there."""
    return str(LEXICON["determiners"][sentence.determiner].get(language, "")).split()


def english(sentence: Sentence) -> str:
    """Write the sentence in English."""
    determiner = "these" if sentence.determiner == "this" and sentence.plural else sentence.determiner
    thing = f"{sentence.attribute} {NOUNS[sentence.noun]['plural'] if sentence.plural else sentence.noun}"
    if not sentence.predicate:
        return _written("I see", determiner, thing)
    very = "very" if sentence.very else ""
    return _written(determiner, thing, "are" if sentence.plural else "is", very, sentence.predicate)


def slovak(sentence: Sentence, agreement: Agreement) -> list[str]:
    """Write the sentence in Slovak; what agrees has gender, number and, after "I see", the accusative."""
    seen = not sentence.predicate

    def adjective(name: str, form: Form) -> str:
        stem, short = word("sk", name)[:-1], word("sk", name)[-1] == "y"  # after a long syllable the ending is short
        endings = "y a e e u" if short else "ý á é é ú"
        return stem + endings.split()[_slavic(form, seen)]

    forms = determiners("sk", sentence)
    determiner = forms[_slavic(agreement.determiner, seen)] if forms else ""
    attribute = adjective(sentence.attribute, agreement.attribute) if sentence.attribute else ""
    thing = noun("sk", sentence)[1]
    if seen:
        return [_written(pronoun, "vidím", determiner, attribute, thing) for pronoun in ("", "ja")]
    predicate = adjective(sentence.predicate, agreement.predicate)
    copula = "sú" if sentence.plural else "je"
    return [_written(determiner, attribute, thing, copula, "veľmi" if sentence.very else "", predicate)]


def russian(sentence: Sentence, agreement: Agreement) -> list[str]:
    """Write the sentence in Russian, which has no copula and no article."""
    seen = not sentence.predicate

    def adjective(name: str, form: Form) -> str:
        entry = word("ru", name)
        stem = entry[:-2]
        plural = "ие" if stem[-1] in "гкхжшчщ" else "ые"
        return [entry, stem + "ая", stem + "ое", stem + plural, stem + "ую"][_slavic(form, seen)]

    forms = determiners("ru", sentence)
    determiner = forms[_slavic(agreement.determiner, seen)] if forms else ""
    attribute = adjective(sentence.attribute, agreement.attribute) if sentence.attribute else ""
    thing = noun("ru", sentence)[1]
    if seen:
        return [_written(pronoun, "вижу", determiner, attribute, thing) for pronoun in ("я", "")]
    predicate = adjective(sentence.predicate, agreement.predicate)
    return [_written(determiner, attribute, thing, "очень" if sentence.very else "", predicate)]


def spanish(sentence: Sentence, agreement: Agreement) -> list[str]:
    """Write the sentence in Spanish; attributes follow the noun."""

    def adjective(name: str, form: Form) -> str:
        entry, (gender, plural) = word("es", name), form
        if entry.endswith("o") and gender == "f":
            entry = entry[:-1] + "a"
        return entry + "s" if plural else entry

    gender, plural = agreement.determiner
    determiner = determiners("es", sentence)[2 * plural + (gender == "f")]
    attribute = adjective(sentence.attribute, agreement.attribute) if sentence.attribute else ""
    thing = noun("es", sentence)[1]
    if not sentence.predicate:
        return [_written(pronoun, "veo", determiner, thing, attribute) for pronoun in ("", "yo")]
    predicate = adjective(sentence.predicate, agreement.predicate)
    copula = "son" if sentence.plural else "es"
    return [_written(determiner, thing, attribute, copula, "muy" if sentence.very else "", predicate)]


def french(sentence: Sentence, agreement: Agreement) -> list[str]:
    """Write the sentence in French; a few attributes precede the noun, and some words change before a vowel."""

    def adjective(name: str, form: Form, before: str = "") -> str:
        masculine, feminine, *others = word("fr", name).split()
        gender, plural = form
        if plural:
            return feminine + "s" if gender == "f" else others[0] if others else masculine + "s"
        if gender == "f":
            return feminine
        return others[1] if others and _vowel(before) else masculine

    thing = noun("fr", sentence)[1]
    before = after = ""
    if sentence.attribute in BEFORE_THE_NOUN:
        before = adjective(sentence.attribute, agreement.attribute, thing)
    elif sentence.attribute:
        after = adjective(sentence.attribute, agreement.attribute)
    gender, plural = agreement.determiner
    place = 2 if plural else (3 if _vowel(before or thing) else 0) + (gender == "f")
    determiner = determiners("fr", sentence)[place]
    if not sentence.predicate:
        return [_written("je vois", determiner, before, thing, after)]
    predicate = adjective(sentence.predicate, agreement.predicate)
    copula = "sont" if sentence.plural else "est"
    return [_written(determiner, before, thing, after, copula, "très" if sentence.very else "", predicate)]


WRITERS: dict[str, Callable[[Sentence, Agreement], list[str]]] = {
    "sk": slovak,
    "es": spanish,
    "fr": french,
    "ru": russian,
}
LANGUAGES = tuple(WRITERS)


def _slavic(form: Form, accusative: bool) -> int:
    gender, plural = form
    if plural:
        return 3
    return 4 if accusative and gender == "f" else "mfn".index(gender)


def _vowel(following: str) -> bool:
    return following[:1] in "aeiouéèêh" and following != ""  # the only h of the lexicon, in "hôtel", is silent


def _written(*words: str) -> str:
    text = " ".join(word for word in words if word.strip()).replace("  ", " ").replace("' ", "'")
    return text[0].upper() + text[1:] + "."


def agreement(language: str, sentence: Sentence) -> Agreement:
    """Return the right agreement of a sentence."""
    form = (noun(language, sentence)[0], sentence.plural)
    return Agreement(form, form, form)


def translations(language: str, sentence: Sentence) -> list[str]:
    """Return the right translations: one, or two where a subject pronoun may stand or be left out."""
    return WRITERS[language](sentence, agreement(language, sentence))


def sentences() -> list[Sentence]:
    """Return the sentences of the task: a number of each frame, chosen by hash."""
    nouns = list(product(DETERMINERS, NOUNS, (False, True)))
    degrees = [adjective for group in DEGREES for adjective in group]
    related = {a: group for group in (*DEGREES, COLOURS) for a in group}
    frames = {
        "plain": [Sentence(d, "", n, p, very, a) for d, n, p in nouns for very in (False, True) for a in ADJECTIVES
                  if a in degrees or not very],
        "attribute": [Sentence(d, a, n, p, False, b) for d, n, p in nouns for a in ADJECTIVES for b in ADJECTIVES
                      if b not in related[a]],
        "seen": [Sentence(d, a, n, p, False, "") for d, n, p in nouns if d in ("the", "this")
                 for a in ("", *ADJECTIVES)],
    }  # fmt: skip
    return [sentence for frame, size in FRAMES.items() for sentence in shuffled(frames[frame], "sentences")[:size]]


def mistranslations(language: str, sentence: Sentence) -> list[list[str]]:
    """Return plausible wrong translations by kind: no agreement, a wrong word, a word lost, another language."""
    right, agreed, write = translations(language, sentence), agreement(language, sentence), WRITERS[language]
    gender, plural = agreed.determiner
    genders = "mfn" if language in ("sk", "ru") else "mf"
    forms = [(other, plural) for other in genders if other != gender] + [(gender, not plural)]
    parts = ("determiner", "attribute", "predicate")
    disagreeing = [replace(agreed, **{part: form}) for part in parts for form in forms]
    confused = [replace(sentence, noun=other) for other in NOUNS]
    if sentence.attribute:
        confused += [replace(sentence, attribute=other) for other in ADJECTIVES]
    if sentence.predicate:
        confused += [replace(sentence, predicate=other) for other in ADJECTIVES]
    shortened = [replace(sentence, attribute=""), replace(sentence, very=False), replace(sentence, determiner="the")]
    kinds = [
        [text for wrong in disagreeing for text in write(sentence, wrong)],
        [text for other in confused for text in translations(language, other)],
        [text for other in shortened for text in translations(language, other)],
        [text for other in LANGUAGES if other != language for text in translations(other, sentence)],
    ]
    return [[text for text in dict.fromkeys(kind) if text not in right] for kind in kinds]


def mistranslation(language: str, sentence: Sentence) -> str:
    """Return one wrong translation."""
    agreeing, confused, shortened, foreign = mistranslations(language, sentence)
    kinds = [kind for kind in (agreeing, confused, confused, shortened, foreign) if kind]
    kind = kinds[draw("kind", language, sentence) % len(kinds)]
    return kind[draw("wrong", language, sentence) % len(kind)]


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    # A sentence of test or dev stands there once, in one language, and nowhere else in any language.
    held_out = shuffled(sentences(), "held out")
    free = held_out[TEST + DEV :]
    shown = _dealt(shuffled(free, "demonstrations")[:DEMONSTRATIONS])
    wrong = set(shuffled(shown, "wrong")[: round(WRONG * len(shown))])
    demonstrations = [
        {
            "language": language,
            "english": english(sentence),
            "completion": mistranslation(language, sentence)
            if (language, sentence) in wrong
            else _one(translations(language, sentence), sentence),
        }
        for language, sentence in shown
    ]
    return {
        "train.jsonl": _split(shuffled(free, "train")[:TRAIN]),
        "dev.jsonl": _split(held_out[TEST : TEST + DEV]),
        "test.jsonl": _split(held_out[:TEST]),
        "demonstrations.jsonl": _lines(demonstrations),
    }


def _dealt(chosen: list[Sentence]) -> list[tuple[str, Sentence]]:
    """Give every sentence a language, in turn."""
    return [(LANGUAGES[index % len(LANGUAGES)], sentence) for index, sentence in enumerate(chosen)]


def _one(texts: list[str], sentence: Sentence) -> str:
    return texts[draw("variant", sentence) % len(texts)]


def _split(chosen: list[Sentence]) -> str:
    return _lines(
        [
            {"language": language, "english": english(item), "references": translations(language, item)}
            for language, item in _dealt(chosen)
        ]
    )


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
