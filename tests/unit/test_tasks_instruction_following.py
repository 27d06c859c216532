"""Instructions that a program checks: rows, verdicts, the four numbers, and answers that would harm the judge."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from snakeval import tasks
from snakeval.errors import ScoringError, SourceError
from snakeval.records import Sample
from snakeval.tasks import Attempt, Judgement, _instructions
from snakeval.tasks._instructed import OTHERS, following, violating
from snakeval.tasks._instructions import NEEDS

TASK: Any = tasks.get("instruction_following")
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "ifeval.jsonl"
FIELDS = {"id": "key", "prompt": "prompt", "instructions": "ids", "options": "kwargs"}
NULLS = {key: None for needs in NEEDS.values() for key in needs}
# One of each instruction.
OPTIONS: dict[str, dict[str, Any]] = {
    "keywords:existence": {"keywords": ["waste", "meal"]},
    "keywords:frequency": {"keyword": "story", "frequency": 2, "relation": "at least"},
    "keywords:forbidden_words": {"forbidden_words": ["walk", "hill"]},
    "keywords:letter_frequency": {"letter": "q", "let_frequency": 2, "let_relation": "less than"},
    "language:response_language": {"language": "hi"},
    "length_constraints:number_sentences": {"num_sentences": 4, "relation": "at least"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 3},
    "length_constraints:number_words": {"num_words": 40, "relation": "less than"},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": 3,
        "nth_paragraph": 2,
        "first_word": "Jasper",
    },
    "detectable_content:number_placeholders": {"num_placeholders": 3},
    "detectable_content:postscript": {"postscript_marker": "P.P.S"},
    "detectable_format:number_bullet_lists": {"num_bullets": 3},
    "detectable_format:constrained_response": {},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_format:multiple_sections": {"section_spliter": "SECTION", "num_sections": 3},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "Write a riddle."},
    "startend:end_checker": {"end_phrase": "Is there anything else I can help with?"},
    "startend:quotation": {},
    "change_case:capital_word_frequency": {
        "capital_frequency": 3,
        "capital_relation": "at least",
    },
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "punctuation:no_comma": {},
}


def row(*names: str, **options: Any) -> dict[str, Any]:
    """Return a row as the hub has it: with all options of all instructions, null where not used."""
    given = [{**NULLS, **OPTIONS[name], **options} for name in names]
    return {"key": 7, "prompt": "Write.", "ids": list(names), "kwargs": given}


def sample(*names: str, **options: Any) -> Sample:
    found: Sample = TASK.normalise(row(*names, **options), FIELDS, "here")
    return found


def judged(text: str, *names: str, **options: Any) -> Judgement:
    found: Judgement = TASK.judgement(Attempt(sample(*names, **options), text))
    return found


def test_a_row_becomes_a_sample_without_its_nulls():
    found = sample("punctuation:no_comma")
    assert found == {
        "id": "7",
        "inputs": {"prompt": "Write."},
        "target": ["punctuation:no_comma"],
        "metadata": {"instructions": [["punctuation:no_comma", {}]]},
    }


def test_whole_numbers_may_be_floats_and_zero_stays():
    found = sample("detectable_format:number_bullet_lists", num_bullets=3.0)
    assert found["metadata"]["instructions"][0][1] == {"num_bullets": 3}
    found = sample("keywords:frequency", frequency=0)
    assert found["metadata"]["instructions"][0][1]["frequency"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": None}, "here, field instructions: got NoneType None in column 'ids'; expected a list of IFEval's"),
        ({"ids": ["punctuation:none"]}, "here, field instructions: got list ['punctuation:none'] in"),
        ({"ids": []}, "here, field instructions: got list []"),
        ({"ids": [{}]}, "here, field instructions: got list [{}]"),
        ({"kwargs": None}, "here, field options: got NoneType None in column 'kwargs'; expected a list of 1 objects"),
        ({"kwargs": []}, "here, field options: got list [] in column 'kwargs'; expected a list of 1 objects"),
        ({"kwargs": [3]}, "here, field options: got int 3; expected an object with the options of keywords:frequency"),
        ({"kwargs": [{}]}, "expected the options of keywords:frequency: keyword, frequency, relation."),
        ({"prompt": None}, "here, field prompt: got NoneType None in column 'prompt'; expected text."),
        ({"key": None}, "here, field id: got NoneType None"),
    ],
)  # fmt: skip
def test_a_wrong_column_is_named(change, message):
    with pytest.raises(SourceError) as error:
        TASK.normalise({**row("keywords:frequency"), **change}, FIELDS, "here")
    assert message in str(error.value)


@pytest.mark.parametrize("column", ["key", "prompt", "ids", "kwargs"])
def test_a_missing_column_is_named(column):
    content = row("punctuation:no_comma")
    del content[column]
    with pytest.raises(SourceError, match="here, field "):
        TASK.normalise(content, FIELDS, "here")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("keywords:frequency", {"frequency": -1}, "got int -1; expected a whole number from 0 in frequency of"),
        ("keywords:frequency", {"frequency": True}, "got bool True; expected a whole number from 0"),
        ("keywords:frequency", {"frequency": 2.5}, "got float 2.5; expected a whole number from 0"),
        ("keywords:frequency", {"relation": "at most"}, "expected 'less than' or 'at least' in relation"),
        ("keywords:frequency", {"keyword": " "}, "expected a text that is not empty in keyword"),
        ("keywords:frequency", {"keyword": "c++("}, "expected a text that is a regular expression"),
        ("keywords:frequency", {"keyword": None}, "expected the options of keywords:frequency"),
        ("keywords:existence", {"keywords": []}, "expected a list of texts, none empty in keywords"),
        ("keywords:existence", {"keywords": ["a", 3]}, "expected a list of texts, none empty in keywords"),
        ("keywords:existence", {"letter": "a"}, "expected the options of keywords:existence: keywords."),
        ("keywords:letter_frequency", {"letter": "ab"}, "expected one character in letter of"),
        ("length_constraints:nth_paragraph_first_word", {"nth_paragraph": 4}, "a number from 1 to num_paragraphs"),
        ("punctuation:no_comma", {"num_words": 3}, "expected the options of punctuation:no_comma: none."),
    ],
)  # fmt: skip
def test_an_option_that_the_checks_would_replace_by_a_random_one_is_an_error(
    name, options, message
):
    with pytest.raises(SourceError) as error:
        sample(name, **options)
    assert message in str(error.value)


def test_the_instructions_are_those_of_the_library():
    from lm_eval.tasks.ifeval.instructions_registry import INSTRUCTION_DICT

    assert set(NEEDS) == set(INSTRUCTION_DICT) == set(OPTIONS)
    for name, needs in NEEDS.items():
        checker = INSTRUCTION_DICT[name](name)
        checker.build_description(**OPTIONS[name])
        assert set(checker.get_instruction_args_keys()) == set(needs)


@pytest.mark.parametrize("name", NEEDS)
def test_constructed_answers_follow_and_break_each_instruction(name):
    problem = sample(name)
    assert TASK.judgement(TASK.gold(problem)).detail["class"] == "correct"
    assert TASK.judgement(TASK.wrong(problem)).value == 0.0


@pytest.mark.parametrize("language", [*OTHERS, "en"])
def test_constructed_answers_are_in_every_language(language):
    problem = sample("language:response_language", language=language)
    assert TASK.judgement(TASK.gold(problem)).value == 1.0
    assert TASK.judgement(TASK.wrong(problem)).value == 0.0


COMMA, WORDS, TITLE = (
    "punctuation:no_comma",
    "length_constraints:number_words",
    "detectable_format:title",
)
QUOTE, JSON, END = "startend:quotation", "detectable_format:json_format", "startend:end_checker"
PARAGRAPHS, BULLETS = (
    "length_constraints:number_paragraphs",
    "detectable_format:number_bullet_lists",
)


@pytest.mark.parametrize(
    ("text", "names", "strict", "loose"),
    [
        ("One two three", [COMMA], [True], [True]),
        ("One, two", [COMMA], [False], [False]),
        ("Sure, here it is:\nOne two three", [COMMA], [False], [True]),  # less the first line
        ("One two three\nThat's it, bye", [COMMA], [False], [True]),  # less the last line
        ("Sure, here:\nOne\nBye, then", [COMMA], [False], [True]),  # less both
        ("Sure, here:\nOne, two\nBye, then", [COMMA], [False], [False]),
        ("**\"All of it\"**", [QUOTE], [False], [True]),  # less asterisks
        ('"All of it"', [QUOTE], [True], [True]),
        ('"', [QUOTE], [False], [False]),
        ("<<A title>>\nText", [TITLE, COMMA], [True, True], [True, True]),
        ("<<A title>>\nText, more", [TITLE, COMMA], [True, False], [True, True]),
        ("<< >>", [TITLE], [False], [False]),
        ('{"a": 1}', [JSON], [True], [True]),
        ('```json\n{"a": 1}\n```', [JSON], [True], [True]),
        ('Here:\n{"a": 1}', [JSON], [False], [True]),
        ("IS THERE ANYTHING ELSE I CAN HELP WITH?", [END], [True], [True]),
        ("Is there anything else I can help with? Bye", [END], [False], [False]),
        ("a\n***\nb\n***\nc", [PARAGRAPHS], [True], [True]),
        ("a\n\nb\n\nc", [PARAGRAPHS], [False], [False]),
        ("* a\n- b\n* c", [BULLETS], [True], [True]),
        ("- a\n- b", [BULLETS], [False], [False]),
        ("", [COMMA], [False], [False]),
        (" \n\t\n ", [COMMA, QUOTE], [False, False], [False, False]),
    ],
)  # fmt: skip
def test_strict_and_loose_verdicts(text, names, strict, loose):
    found = judged(text, *names)
    assert (found.detail["strict"], found.detail["loose"]) == (strict, loose)
    assert found.value == float(all(strict))
    assert found.detail["all_loose"] == float(all(loose))
    broken = [name for name, right in zip(names, strict, strict=True) if not right]
    assert found.detail.get("message") == (f"not followed: {', '.join(broken)}" if broken else None)
    assert found.detail["class"] == (
        "correct" if all(strict) else "wrong" if text.strip() else "no_answer"
    )


def test_a_letter_that_the_checker_does_not_know_is_the_one_that_counts():
    """The checker would draw a letter at random: row 1129 asks for six exclamation marks."""
    wish = {"letter": "!", "let_frequency": 6, "let_relation": "at least"}
    for _ in range(5):
        assert judged("Ice cream!!!!!!", "keywords:letter_frequency", **wish).value == 1.0
        text = "abcdefghijklmnopqrstuvwxyz" * 9 + "!!!!!"
        assert judged(text, "keywords:letter_frequency", **wish).value == 0.0


def test_verdicts_on_languages_are_the_same_in_every_run():
    """Unseeded, langdetect takes this for either of two languages, in turn."""
    problem = sample("language:response_language", language="it")
    found = TASK.judge([Attempt(problem, "la casa is big e bella")] * 60, {}, {}).judgements
    assert {one.value for one in found} == {found[0].value}


def metrics_of(
    table: list[list[tuple[list[bool], list[bool]]]],
) -> tuple[dict[str, Any], list[list[tuple[list[bool], list[bool]]]]]:
    scores = [
        {
            "id": str(number),
            "repeat": repeat,
            "state": "wrong",
            "value": float(all(strict)),
            "answer": "x",
            "target": [],
            "detail": {"strict": strict, "loose": loose, "all_loose": float(all(loose))},
        }
        for number, repeats in enumerate(table)
        for repeat, (strict, loose) in enumerate(repeats)
    ]
    return TASK.metrics(scores, len(table[0])), table


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_four_numbers_against_the_harness_s_own_sums(repeats):
    from lm_eval.tasks.ifeval.utils import agg_inst_level_acc

    draw = random.Random(3)
    table = []
    for _ in range(90):
        count, rows = draw.randint(1, 3), []
        for _ in range(repeats):
            strict = [draw.random() < 0.6 for _ in range(count)]
            rows.append((strict, [one or draw.random() < 0.3 for one in strict]))
        table.append(rows)
    metrics, _ = metrics_of(table)
    for place, name in enumerate(("strict", "loose")):
        answers = [answer[place] for rows in table for answer in rows]
        expected = fmean(map(all, answers))
        assert metrics[f"prompt_level_{name}_acc"]["value"] == pytest.approx(expected)
        expected = agg_inst_level_acc(answers)
        assert metrics[f"inst_level_{name}_acc"]["value"] == pytest.approx(expected)
    for metric in metrics.values():
        assert metric["n"] == 90
        assert metric["ci_low"] < metric["value"] < metric["ci_high"]


def test_the_intervals_over_instructions_draw_prompts():
    """All three instructions of a prompt go together: the interval is that of 60 trials, not of 180."""
    metrics, _ = metrics_of([[([n % 2 == 0] * 3, [True] * 3)] for n in range(60)])
    metric = metrics["inst_level_strict_acc"]
    assert metric["value"] == 0.5
    assert metric["n"] == 60
    width = 2 * 1.96 * (0.25 / 60) ** 0.5
    assert metric["ci_high"] - metric["ci_low"] == pytest.approx(width, rel=0.1)


def test_unscored_answers_stay_outside():
    unscored: Any = {"id": "a", "value": None, "detail": {"class": "request_failed"}}
    for metric in TASK.metrics([unscored], 1).values():
        assert metric == {"value": None, "ci_low": None, "ci_high": None, "n": 0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("detectable_content:postscript", " " * 1_000_000),
        ("detectable_content:postscript", "x" + " " * 1_000_000),
        ("detectable_content:number_placeholders", "[" * 1_000_000),
        ("detectable_format:number_bullet_lists", "x" + "\n" * 1_000_000),
        ("detectable_format:title", "<<" * 500_000),
        ("detectable_format:json_format", "[" * 1_000_000),
        ("detectable_format:json_format", '{"a":' * 200_000),
        ("change_case:english_capital", "\x00\ud800\u202e" * 300_000),
        ("language:response_language", "ab " * 1_000_000),
        ("length_constraints:number_sentences", "a" * 2_000_000),
        ("change_case:capital_word_frequency", "a.'" * 700_000),
        ("detectable_format:multiple_sections", " " * 1_000_000),
    ],
)
def test_hostile_answers_get_a_verdict_in_bounded_time(name, text):
    start = time.monotonic()
    found = judged(text, name)
    assert found.value == 0.0
    assert time.monotonic() - start < 60
    assert len(found.answer or "") <= 1000


def test_a_text_without_letters_is_in_any_language_as_the_authors_have_it():
    assert judged("123 \x00\ud800\u202e" * 1000, "language:response_language").value == 1.0


def test_a_check_that_takes_too_long_is_said_and_the_next_answer_is_judged():
    problem = sample("keywords:existence", keywords=["(a+)+$"])
    quick = sample("punctuation:no_comma")
    attempts = [Attempt(problem, "a" * 60 + "!"), Attempt(quick, "fine")]
    slow, fine = TASK.judge(attempts, {}, {}).judgements
    assert slow.value == 0.0
    assert slow.detail["message"] == (
        "not followed: keywords:existence (the check needs more than 3 s)"
    )
    assert fine.value == 1.0


def test_an_answer_that_ends_the_process_is_a_verdict_too():
    worker = _instructions.worker()
    names = [["punctuation:no_comma", {}]]
    assert worker.check(names, "one") == [(True, True, "")]
    assert worker.process is not None
    worker.process.kill()
    worker.process.wait()
    assert worker.check(names, "two") == [(False, False, "the check ends its process")]
    assert worker.check(names, "three") == [(True, True, "")]


def test_a_missing_library_is_said(monkeypatch, tmp_path):
    broken = tmp_path / "worker.py"
    broken.write_text("import lm_eval_that_is_not_there\n")
    monkeypatch.setattr(_instructions, "WORKER", broken)
    with pytest.raises(ScoringError, match=r"No module named 'lm_eval_that_is_not_there'.*Install"):
        _instructions.Worker().check([], "text")


def test_the_checks_need_no_network_and_no_start_of_the_harness():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import _instructions_worker as w; w.load();"
        "from lm_eval.tasks.ifeval import instructions_util as u;"
        "print(u.count_sentences('Dr. Smith is in. He works! Bye.'), 'datasets' in sys.modules)"
    )
    done = subprocess.run(
        [
            "unshare",
            "-rn",
            sys.executable,
            "-W",
            "ignore",
            "-c",
            code,
            str(_instructions.WORKER.parent),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr:
        pytest.skip("no network namespaces here")
    assert done.stdout == "3 False\n", done.stderr


def test_real_rows_constructed_answers_follow_and_broken_ones_do_not():
    if not DATA.exists():
        pytest.skip(f"{DATA} is not here")
    entries = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text(encoding="utf-8"))
    entry = entries["ifeval"]
    samples = [
        TASK.normalise(json.loads(line), entry["fields"], f"line {number}")
        for number, line in enumerate(DATA.read_text(encoding="utf-8").splitlines())
    ]
    gold = TASK.judge([TASK.gold(one) for one in samples], {}, {}).judgements
    failed = [one["id"] for one, found in zip(samples, gold, strict=True) if found.value != 1]
    assert failed == list(entry["exceptions"])
    wrong = TASK.judge([TASK.wrong(one) for one in samples], {}, {}).judgements
    assert [found.value for found in wrong] == [0.0] * 271
    assert len(samples) == 271


def test_constructed_answers_are_the_same_every_time():
    instructions = [[name, OPTIONS[name]] for name in NEEDS if name != JSON]
    assert following(instructions) == following(instructions)
    assert violating(instructions) == violating(instructions)
