"""The built-in task `translation`: its grammar agrees with sentences written by hand, in all four languages."""

import json
import runpy
from collections import Counter

import pytest

from rlbench.graders.overlap import bleu, chrf
from rlbench.records import Candidate
from rlbench.tasks.task import load_task

SPLITS = ("train", "dev", "test")
# Written by hand: gender, number, case, short endings, elision, forms before a vowel, place of the attribute.
BY_HAND = {
    "sk": {
        "The red house is big.": ["Červený dom je veľký."],
        "These white windows are very old.": ["Tieto biele okná sú veľmi staré."],
        "My strange school is green.": ["Moja zvláštna škola je zelená."],
        "Our black cars are expensive.": ["Naše čierne autá sú drahé."],
        "My table is beautiful.": ["Môj stôl je krásny."],
        "I see this white lamp.": ["Vidím túto bielu lampu.", "Ja vidím túto bielu lampu."],
        "I see the small shirt.": ["Vidím malú košeľu.", "Ja vidím malú košeľu."],
        "I see these yellow hats.": ["Vidím tieto žlté klobúky.", "Ja vidím tieto žlté klobúky."],
        "I see this mirror.": ["Vidím toto zrkadlo.", "Ja vidím toto zrkadlo."],
    },
    "es": {
        "The red house is big.": ["La casa roja es grande."],
        "These white windows are very old.": ["Estas ventanas blancas son muy viejas."],
        "My strange school is green.": ["Mi escuela extraña es verde."],
        "Our black cars are expensive.": ["Nuestros coches negros son caros."],
        "My gardens are small.": ["Mis jardines son pequeños."],
        "Our cities are beautiful.": ["Nuestras ciudades son hermosas."],
        "I see this white lamp.": ["Veo esta lámpara blanca.", "Yo veo esta lámpara blanca."],
        "I see the big hotels.": ["Veo los hoteles grandes.", "Yo veo los hoteles grandes."],
    },
    "fr": {
        "The red house is big.": ["La maison rouge est grande."],
        "These white windows are very old.": ["Ces fenêtres blanches sont très vieilles."],
        "My strange school is green.": ["Mon école étrange est verte."],
        "My old school is green.": ["Ma vieille école est verte."],
        "This old hotel is beautiful.": ["Ce vieil hôtel est beau."],
        "This hotel is old.": ["Cet hôtel est vieux."],
        "The church is expensive.": ["L'église est chère."],
        "The beautiful hotel is white.": ["Le bel hôtel est blanc."],
        "The beautiful hats are old.": ["Les beaux chapeaux sont vieux."],
        "Our black cars are expensive.": ["Nos voitures noires sont chères."],
        "I see this white lamp.": ["Je vois cette lampe blanche."],
        "I see these small paintings.": ["Je vois ces petits tableaux."],
    },
    "ru": {
        "The red house is big.": ["Красный дом большой."],
        "These white windows are very old.": ["Эти белые окна очень старые."],
        "My strange school is green.": ["Моя странная школа зелёная."],
        "Our black cars are expensive.": ["Наши чёрные машины дорогие."],
        "My mirror is small.": ["Моё зеркало маленькое."],
        "The chairs are big.": ["Стулья большие."],
        "I see this white lamp.": ["Я вижу эту белую лампу.", "Вижу эту белую лампу."],
        "I see the old church.": ["Я вижу старую церковь.", "Вижу старую церковь."],
        "I see these modern cities.": ["Я вижу эти современные города.", "Вижу эти современные города."],
    },
}


@pytest.fixture(scope="module")
def task():
    return load_task("translation")


@pytest.fixture(scope="module")
def rows(task):
    return {
        path.stem: [json.loads(line) for line in path.open(encoding="utf-8")] for path in task.folder.glob("*.jsonl")
    }


@pytest.fixture(scope="module")
def generator(task):
    return runpy.run_path(str(task.folder / "generate.py"))


@pytest.fixture(scope="module")
def sentences(generator):
    """Every sentence that the grammar can make, by its English text."""
    sentence, nouns = generator["Sentence"], [(n, p) for n in generator["NOUNS"] for p in (False, True)]
    adjectives = ("", *generator["ADJECTIVES"])
    made = [
        sentence(determiner, attribute, noun, plural, very, predicate)
        for determiner in generator["DETERMINERS"]
        for noun, plural in nouns
        for attribute in adjectives
        for predicate in adjectives
        for very in ((False, True) if predicate else (False,))
    ]
    return {generator["english"](each): each for each in made}


@pytest.mark.parametrize("language", BY_HAND)
def test_translations_are_those_written_by_hand(language, generator, sentences):
    written = {text: generator["translations"](language, sentences[text]) for text in BY_HAND[language]}
    assert written == BY_HAND[language]


def test_an_english_text_says_one_thing(sentences, generator):
    words = len(generator["NOUNS"]) * 2 * len(generator["DETERMINERS"])
    adjectives = len(generator["ADJECTIVES"])
    assert len(sentences) == words * (1 + adjectives) * (1 + 2 * adjectives)


def test_references_are_what_the_grammar_says(rows, generator, sentences):
    for split in SPLITS:
        for row in rows[split]:
            assert row["references"] == generator["translations"](row["language"], sentences[row["english"]])
            assert len(row["references"]) == len(set(row["references"])) <= 2


def test_every_split_has_the_languages_in_equal_shares(rows):
    for name in rows:
        shares = Counter(row["language"] for row in rows[name])
        assert set(shares) == set(BY_HAND)
        assert len(set(shares.values())) == 1, name


def test_sentences_of_test_and_dev_are_unseen_in_every_language(rows):
    texts = {name: {row["english"] for row in rows[name]} for name in rows}
    assert {name: len(texts[name]) for name in SPLITS} == {"train": 2000, "dev": 200, "test": 400}
    assert not texts["test"] & texts["dev"]
    assert not (texts["test"] | texts["dev"]) & (texts["train"] | texts["demonstrations"])


def test_demonstrations_are_wrong_as_often_as_promised(rows, generator, sentences):
    wrong = Counter()
    for row in rows["demonstrations"]:
        sentence, language = sentences[row["english"]], row["language"]
        if row["completion"] in generator["translations"](language, sentence):
            continue
        kinds = generator["mistranslations"](language, sentence)
        wrong[[row["completion"] in kind for kind in kinds].index(True)] += 1
    assert sum(wrong.values()) == 1800
    assert min(wrong.values()) > 200, "agreement, words, omissions, another language"


def test_no_mistranslation_is_a_right_translation(generator, sentences):
    for text in list(sentences)[::97]:
        for language in BY_HAND:
            right = generator["translations"](language, sentences[text])
            for kind in generator["mistranslations"](language, sentences[text]):
                assert not set(kind) & set(right)


def test_references_score_most(task):
    samples = task.samples("test")
    for grade in (bleu().grade, chrf().grade):
        for reference in (0, -1):
            judged = grade([Candidate(sample, sample.references[reference]) for sample in samples])
            assert min(j.values["sentence"] for j in judged) == pytest.approx(1)
        following = [*samples[4:], *samples[:4]]  # of the same language
        others = [Candidate(a, b.references[0]) for a, b in zip(samples, following, strict=True)]
        assert max(j.values["sentence"] for j in grade(others)) < 0.95
        assert not any(j.values["sentence"] for j in grade([Candidate(sample, "") for sample in samples]))
