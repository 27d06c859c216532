"""The pages about the datasets and the models, docs/datasets.md and docs/models.md, from the registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snakeval import parallel
from snakeval.registry import bands, schema
from snakeval.registry.files import read_yaml
from snakeval.registry.protocol import describe

Entry = Mapping[str, Any]

HEAD = """# Datasets

Generated from config/datasets.yaml by `make docs`; a change there, not here. Which rows a run took stands in
`results/datasets/`, and whether right answers score 1 and wrong ones do not is checked by
`snakemake oracle --cores 1 --config datasets=NAME`.

Numbers of two datasets, or of two protocols of one dataset, are not ranked against each other. Tokens of a prompt
are a mean over real rows, in SmolLM2's tokens; what an answer may cost at most is the limit beside it, for a model
that thinks its `thinking_tokens` more.

A result over all rows is held against the published scores of its model, and the report flags one outside the band.
Unless the entry states it, a band is the 95 % interval of the difference of two numbers over that many rows; for
quantized weights it is 4 points wider on either side.
"""

MODELS_HEAD = """# Models

Generated from config/models.yaml and config/categories.yaml by `make docs`; a change there, not here. Which commit
a run took, and what it weighed, stands in `results/models/`.

*Weights* is what is fetched; the name leads to the maker's page, whose licence holds for a copy too. *AWQ* and
*compressed-tensors* have four bits a weight, *bf16* and *fp16* sixteen. *KV cache* is what one token takes in it, and
how many tokens fit beside the weights on one H100 of 80 GB: arithmetic, with 4 GiB set aside for the engine's work.
A model with a gate gives its weights only to those who have accepted its licence; none of the quantized copies that
are fetched here is known to have one.
"""

H100_BYTES, WORKING_BYTES = 79.65 * 2**30, 4 * 2**30


def datasets(root: Path) -> str:
    """Return the page about the datasets as Markdown.

    Args:
        root: the repository's folder.

    Raises:
        SnakevalError: config/datasets.yaml cannot be read.
    """
    entries = _entries(root, "datasets", "dataset")
    return "\n".join(
        [
            HEAD,
            "| dataset | task | metric | rows | prompt + answer tokens | licence |",
            "|---|---|---|---|---|---|",
            *(_line(name, entry) for name, entry in entries.items()),
            *(_section(name, entry) for name, entry in entries.items()),
        ]
    )


def _line(name: str, entry: Entry) -> str:
    about = entry["about"] or {}
    cells = (
        f"[{name}](#{name})",
        entry["task"],
        entry["metric"],
        _number(about.get("rows")),
        f"{_number(about.get('prompt_tokens'))} + {entry['max_tokens']:,}",
        _licence(entry),
    )
    return f"| {' | '.join(cells)} |"


def _section(name: str, entry: Entry) -> str:
    about = entry["about"] or {"measures": "", "traps": [], "published": [], "verified": True}
    lines = [f"\n## {name}", "", about["measures"], ""]
    if not about["verified"]:
        lines.append(
            "- **Unverified on real rows**: loader and scorer were tried on made-up rows in its schema only."
        )
    lines += [
        *(
            f"- Asked: {text}."
            for text in dict.fromkeys(describe(entry, style) for style in entry["prompt"])
        ),
        *([f"- Protocol: {entry['protocol']}"] if entry["protocol"] else []),
        f"- Rows: {'; '.join(map(_source, entry['sources']))}",
        f"- Licence: {_licence(entry)}",
        *(f"- Trap: {trap}" for trap in about["traps"]),
        *(
            f"- Not scored as right: `{which}`: {reason}"
            for which, reason in entry["exceptions"].items()
        ),
    ]
    if about["published"]:
        lines += [
            "",
            "| published | % | band | protocol | source | in the registry |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_published(score, about["rows"]) for score in about["published"]]
    return "\n".join(lines)


def _published(score: Entry, rows: int | None) -> str:
    found = bands.band(score, rows)
    cells = (
        score["model"],
        f"{score['score']:g}",
        f"{found[0] * 100:.1f} to {found[1] * 100:.1f}" if found else "?",
        score["protocol"] + (f" (differs: {score['differs']})" if score["differs"] else ""),
        score["source"],
        ", ".join(score["models"]) or "–",
    )
    return f"| {' | '.join(cells)} |"


def _licence(entry: Entry) -> str:
    text = entry["licence"] or "not stated"
    return f"{text}, gated: accept its terms first" if entry["gated"] else text


def _source(source: Entry) -> str:
    if "hub" not in source:
        return f"`{source.get('package') or source['path']}`"
    config = source.get("config")
    several = f"{len(config)} configurations" if isinstance(config, list) else config
    what = (
        ", ".join(filter(None, (several, source.get("split")))) or f"{len(source['files'])} files"
    )
    revision = source.get("revision", "the newest revision, not pinned")
    return f"`{source['hub']}` ({what}; {revision[:12] if len(revision) == 40 else revision})"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def models(root: Path) -> str:
    """Return the page about the models and their categories as Markdown.

    Args:
        root: the repository's folder.

    Raises:
        SnakevalError: config/models.yaml or config/categories.yaml cannot be read.
    """
    entries = _entries(root, "models", "model")
    categories = _entries(root, "categories", "category")
    return "\n".join(
        [
            MODELS_HEAD,
            "| model | weights | format | parameters | size | KV cache |",
            "|---|---|---|---|---|---|",
            *(_row(_loaded(name, entry)) for name, entry in entries.items()),
            "\n## How they are asked\n",
            "| model | context | prompt | thinking | sampling | licence |",
            "|---|---|---|---|---|---|",
            *(_row(_asked(name, entry)) for name, entry in entries.items()),
            "\n## Categories\n",
            "| category | models | datasets | optional datasets |",
            "|---|---|---|---|",
            *(_row(_category(name, entry)) for name, entry in categories.items()),
            "\n## Names from before\n",
            "| name | now | |",
            "|---|---|---|",
            *(_row(cells) for name, entry in entries.items() for cells in _names(name, entry)),
        ]
    )


def _entries(root: Path, kind: str, singular: str) -> dict[str, Entry]:
    registry = read_yaml(root / "config" / f"{kind}.yaml", f"config/{kind}.yaml")
    return {name: schema.filled(entry, singular) for name, entry in registry.items()}


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _loaded(name: str, entry: Entry) -> list[str]:
    """Return the cells of what is fetched and what it takes."""
    facts = entry["facts"]
    title = entry["title"] or name
    shown = [f"`{name}`", f"{_link(title, entry['card'])}: {_weights(entry)}"]
    if facts is None:
        return [*shown, "?", "?", "?", "?"]
    active = f", {facts['active']:g} at work" if facts["active"] else ""
    given = H100_BYTES * entry["engine_limits"]["gpu_memory_utilization"] * parallel.gpus(entry)
    left = given - facts["weights_gb"] * 1e9 - WORKING_BYTES
    tokens = max(0, int(left / facts["kv_bytes_per_token"]))
    return [
        *shown,
        facts["format"],
        f"{facts['parameters']:g} billion{active}",
        f"{facts['weights_gb']:g} GB",
        f"{facts['kv_bytes_per_token'] / 1000:.0f} kB, {tokens // 1000:,},000 tokens",
    ]


def _asked(name: str, entry: Entry) -> list[str]:
    """Return the cells of how a model is asked, and under which licence."""
    facts = entry["facts"]
    of = f" of {facts['context']:,}" if facts and facts["context"] > entry["max_model_len"] else ""
    prompt = [entry["prompt_style"]]
    prompt += ["with a system prompt"] if entry["system_prompt"] else []
    prompt += ["template of this repository"] if entry["chat_template"] else []
    prompt += ["takes images"] if entry["images"] else []
    thinking = "no"
    if entry["thinking"]:
        off = entry["template_arguments"].get("enable_thinking") is False
        more = entry["thinking_tokens"]
        thinking = "switched off" if off else f"yes, {more:,} tokens more" if more else "yes"
    licence = entry["licence"] or "not stated"
    return [
        f"`{name}`",
        f"{entry['max_model_len']:,}{of}",
        ", ".join(prompt),
        thinking,
        _sampling(entry["sampling"]),
        f"{licence}, gate" if entry["gated"] else licence,
    ]


def _sampling(sampling: Entry) -> str:
    """Say how tokens are drawn, leaving out what changes nothing."""
    known = schema.load("model")["properties"]["sampling"]["properties"]
    said = {key: value for key, value in sampling.items() if value != known[key]["default"]}
    greedy = [] if sampling["temperature"] else ["greedy"]
    return ", ".join([*greedy, *(f"{key.replace('_', ' ')} {said[key]:g}" for key in said)])


def _category(name: str, entry: Entry) -> list[str]:
    lists = (entry["models"], entry["datasets"], entry["optional_datasets"])
    return [f"`{name}`", *(", ".join(f"`{member}`" for member in names) for names in lists)]


def _names(name: str, entry: Entry) -> Iterator[list[str]]:
    for other, text in entry["aliases"].items():
        yield [f"`{other}`", f"stands for `{name}`", text]
    for other, text in entry["replaces"].items():
        yield [f"`{other}`", f"refused; `{name}` has its place", text]


def _link(text: str, address: str | None) -> str:
    return f"[{text}]({address})" if address else text


def _weights(entry: Entry) -> str:
    """Name a model's source and its revision, or its server."""
    if endpoint := entry["endpoint"]:
        return f"`{endpoint['model']}` at {endpoint['url']}"
    source = entry["source"]
    if "quantize" in source:
        return f"made here from `{source['quantize']['model']}`"
    if "hub" not in source:
        return f"`{source.get('package') or source['path']}`"
    return f"`{source['hub']}`, {_revision(source)}"


def _revision(source: Entry) -> str:
    revision: str = source.get("revision", "main")
    return revision[:12] if len(revision) == 40 else f"{revision}, not pinned"
