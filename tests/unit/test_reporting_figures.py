"""The report's pictures: what they say, and that nothing in their data can leave them."""

from __future__ import annotations

import json
import re

import pytest
from snakeval.reporting.figures import (
    MEMORY,
    SPEED,
    Cell,
    Point,
    Result,
    against,
    front,
    heat_map,
    intervals,
    library,
    states,
)


def point(label: str, value: float, cost: float) -> Point:
    return Point(label, value, value - 0.1, value + 0.1, "100", cost, f"{cost:g}")


@pytest.mark.parametrize(
    ("more_is_better", "expected"), [(True, ["slow", "fast"]), (False, ["small", "slow"])]
)
def test_the_front_is_what_nothing_beats_in_both(more_is_better: bool, expected: list[str]) -> None:
    points = [
        point("fast", 0.4, 900.0),
        point("slow", 0.8, 100.0),
        point("beaten", 0.4, 500.0),
        point("small", 0.3, 50.0),
    ]
    assert [one.label for one in front(points, more_is_better)] == expected


def test_equal_models_are_both_on_the_front() -> None:
    points = [point("one", 0.5, 10.0), point("twin", 0.5, 10.0)]
    assert front(points, True) == points


def test_no_name_lies_on_another() -> None:
    crowd = [point(f"model {n}", 0.5 + n / 1000, 100.0 + n) for n in range(12)]
    drawn = against(crowd, SPEED, "accuracy", "on arithmetic", "n = 100").svg
    named = re.findall(r">model \d+<", drawn)
    assert 1 <= len(named) < 12
    places = re.findall(
        r'<text text-anchor="(\w+)" transform="translate\(([\d.]+),([\d.]+)\)"[^>]*>model', drawn
    )
    assert len(places) == len(named)
    assert len(set(places)) == len(places)


def test_a_warning_is_written_out_however_long_the_name() -> None:
    points = [point("a" * 80, 0.5, 1.0), point("short", 0.6, 1.5)]
    points[0] = Point(**{**vars(points[0]), "warning": "no isolation"})
    assert "… (no isolation)<" in against(points, MEMORY, "mean", "over 2 datasets", "n = 200").svg


def test_what_is_missing_is_shown_as_missing() -> None:
    cells = [
        Cell("A", "x", "accuracy", 0.42, 0.3, 0.55, 100),
        Cell("B", "x", "accuracy", None, None, None, None, "CUDA out of memory"),
    ]
    figure = heat_map(cells, ["A", "B"], {"x": "Arithmetic"})
    assert ">42<" in figure.svg
    assert ">–<" in figure.svg
    assert ">0<" not in figure.svg.split("value")[0]
    assert "CUDA out of memory" in figure.json
    assert "1 of 2 results, n = 100" in figure.description


def test_each_description_names_its_n() -> None:
    results = [
        Result("A", 0.5, 0.4, 0.6, 90, {"correct": 45, "wrong": 45}),
        Result("B", 0.7, 0.6, 0.8, 100, {"correct": 70, "wrong": 30}),
    ]
    assert "n = 90 to 100" in intervals(results, "accuracy", "Arithmetic").description
    assert "190 answers" in states(results, "Arithmetic").description
    assert (
        "n = 95"
        in against(
            [point("A", 0.5, 1.0), point("B", 0.7, 2.0)], SPEED, "mean", "over 2 datasets", "n = 95"
        ).description
    )


def test_a_name_cannot_end_the_script_that_holds_it() -> None:
    name = "</script><!--\u2028\u202e&\ud83d"
    results = [Result(name, 0.5, 0.4, 0.6, 90, {"correct": 45, "wrong": 45})]
    figure = intervals(results, "accuracy", "Arithmetic")
    assert not re.search("[<>&\u2028\u202e\ud800-\udfff]", figure.json)
    assert "</script>" in json.dumps(json.loads(figure.json))
    assert "</script>" not in figure.inline


def test_the_library_makes_no_functions_of_texts_and_asks_for_nothing() -> None:
    script = library()
    assert "</script" not in script.lower()
    assert "<!--" not in script
    assert '"aria": false' in script or "aria:!1" in script or '"aria":false' in script


def test_layers_share_what_they_show() -> None:
    """Of hundreds of figures in a page, each would otherwise hold its numbers ten times."""
    points = [point("one", 0.25, 10.0), point("other", 0.75, 12.5)]
    spec = json.loads(against(points, SPEED, "accuracy", "on arithmetic", "n = 100").json)
    assert json.dumps(spec).count('"cost_text": "12.5"') == 1
    assert {"name"} == {key for layer in spec["layer"] for key in layer["data"]}
    assert {layer["data"]["name"] for layer in spec["layer"]} == set(spec["datasets"])
