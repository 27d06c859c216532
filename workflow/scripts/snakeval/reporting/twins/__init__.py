"""A run's results in the formats of other tools, one module each.

    results/pairs/…  ──finished.py──▶  lm_eval.py      lm-evaluation-harness: results and samples of each model
                                       inspect_log.py  inspect_ai: a log of each pair
                                       model_card.py   the hub: metadata for each model's card

Nothing is computed anew: the numbers are those of metrics.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from snakeval.errors import StorageError

if TYPE_CHECKING:
    from snakeval.registry import Run

FOLDERS = ("lm_eval", "inspect", "model_cards")


def export(run: Run, folder: Path, output: Path) -> Iterator[str]:
    """Write the finished pairs of a run to `output`/lm_eval, inspect and model_cards, all of them anew.

    Args:
        run: the resolved run; only its pairs are read, whatever else lies in `folder`.
        folder: the working directory, which holds `results/`.
        output: the folder to write to.

    Yields a line about each model, and about each pair that has no result.

    Raises:
        StorageError: a file is broken, or cannot be written.
    """
    from snakeval.reporting.twins import inspect_log, lm_eval, model_card
    from snakeval.reporting.twins.finished import Finished, finished

    for name in FOLDERS:
        try:
            shutil.rmtree(output / name)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageError.from_os_error(error, output / name) from error
    done: list[Finished] = []
    for pair in run.pairs:
        found = finished(run, folder, pair)
        if found is None:
            yield f"left out: {pair.model} on {pair.dataset}: it has no result yet"
        else:
            done.append(found)
    done.sort(key=lambda each: list(run.models).index(each.pair.model))
    for model, group in groupby(done, key=lambda each: each.pair.model):
        pairs = list(group)
        lm_eval.write(pairs, output / "lm_eval" / model)
        for each in pairs:
            inspect_log.write(each, output / "inspect")
        model_card.write(pairs, output / "model_cards" / f"{model}.md")
        yield f"exported: {model}, {', '.join(each.pair.dataset for each in pairs)}"
