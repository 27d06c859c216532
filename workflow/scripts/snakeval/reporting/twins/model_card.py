"""Results as metadata of a model's card on the hub: its `model-index`, written by huggingface_hub itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snakeval.records import write_text
from snakeval.reporting.twins.finished import Finished


def write(pairs: Sequence[Finished], path: Path) -> None:
    """Write the head of a card with the results of a model's finished pairs.

    `huggingface_hub.metadata_load` reads it and `metadata_update` merges it into a card that is there.

    Raises:
        StorageError: it cannot be written.
    """
    from huggingface_hub import EvalResult, ModelCardData

    found = []
    for pair in pairs:
        hub = pair.hub_source
        config = hub.get("config")
        for name, metric in pair.measured.items():
            found.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=hub.get("hub", pair.pair.dataset),
                    dataset_name=pair.dataset_title,
                    dataset_config=", ".join(config) if isinstance(config, list) else config,
                    dataset_split=hub.get("split"),
                    dataset_revision=pair.meta["dataset_revision"] if hub else None,
                    metric_type=name,
                    metric_value=metric["value"],
                    # Entries of one hub dataset are merged under the first one's name: this one tells them apart.
                    metric_name=f"{name} of {pair.pair.dataset}, {pair.shots}-shot",
                    metric_args={
                        "ci_low": metric["ci_low"],
                        "ci_high": metric["ci_high"],
                        "n": metric["n"],
                        "limit": pair.run.settings["limit"],
                        "repeats": pair.run.settings["repeats"],
                        "protocol": pair.protocol.id,
                        "protocol_text": pair.protocol.text,
                        "key": pair.pair.key,
                        "model_commit": pair.meta["model_commit"],
                        "versions": dict(pair.meta["versions"]),
                    },
                )
            )
    card = ModelCardData(model_name=pairs[0].model_title, eval_results=found)
    write_text(path, f"---\n{card.to_yaml()}\n---\n")
