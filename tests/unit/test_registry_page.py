"""docs/datasets.md and docs/models.md say what the registry says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakeval.registry import page

ROOT = Path(__file__).parents[2]
ENTRIES = yaml.safe_load((ROOT / "config" / "datasets.yaml").read_text("utf-8"))


@pytest.mark.parametrize(("name", "make"), [("datasets", page.datasets), ("models", page.models)])
def test_the_page_is_what_the_registry_gives(name: str, make: Callable[[Path], str]) -> None:
    written = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    assert written == make(ROOT) + "\n", "make docs"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_dataset_tells_what_users_ask(name: str) -> None:
    entry = ENTRIES[name]
    about = entry["about"]
    assert entry["protocol"]
    assert entry["licence"]
    assert about["measures"]
    assert about["traps"] or "path" in entry["sources"][0]


def test_a_dataset_is_shown_with_its_traps_scores_and_exceptions(tmp_path: Path) -> None:
    entry = {
        "task": "mathematics",
        "sources": [
            {"hub": "org/sums", "revision": "0" * 40, "config": ["a", "b"], "split": "test"}
        ],
        "fields": {"id": "id"},
        "prompt": {"chat": "{{ problem }}"},
        "max_tokens": 2048,
        "metric": "accuracy",
        "protocol": "Carries count.",
        "licence": "MIT",
        "gated": True,
        "exceptions": {"s/7": "its answer is wrong"},
        "about": {
            "measures": "Adding.",
            "rows": 1500,
            "verified": False,
            "traps": ["Carries."],
            "published": [
                {"model": "M", "score": 12.5, "protocol": "5-shot", "source": "a paper"},
                {
                    **{"model": "N", "score": 40, "protocol": "chat", "source": "a card"},
                    **{"models": ["n", "m"], "differs": "more examples", "band": [30, 55.5]},
                },
            ],
        },
    }
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "datasets.yaml").write_text(yaml.safe_dump({"sums": entry}))
    text = page.datasets(tmp_path)
    for line in (
        "| [sums](#sums) | mathematics | accuracy | 1,500 | ? + 2,048 | MIT, gated: accept its terms first |",
        "- **Unverified on real rows**: loader and scorer were tried on made-up rows in its schema only.",
        "- Asked: Chat prompt, 0-shot; answers of up to 2,048 tokens.",
        "- Protocol: Carries count.",
        "- Rows: `org/sums` (2 configurations, test; 000000000000)",
        "- Trap: Carries.",
        "- Not scored as right: `s/7`: its answer is wrong",
        "| M | 12.5 | 10.3 to 15.1 | 5-shot | a paper | – |",
        "| N | 40 | 30.0 to 55.5 | chat (differs: more examples) | a card | n, m |",
    ):
        assert line in text.splitlines()


def test_a_model_is_shown_with_its_memory_prompt_and_names(tmp_path: Path) -> None:
    facts = {"format": "AWQ", "parameters": 47, "active": 13, "weights_gb": 25, "context": 8192}
    models: dict[str, Any] = {
        "mixed": {
            "title": "Mixed 47B",
            "source": {"hub": "org/mixed-AWQ", "revision": "0123456789abcdef" * 2 + "01234567"},
            "max_model_len": 4096,
            "chat_template": "config/templates/mixed.jinja",
            "system_prompt": "Think.",
            "thinking": {"open": "<think>", "close": "</think>"},
            "thinking_tokens": 16384,
            "sampling": {"temperature": 0.6, "top_k": 20},
            "licence": "MIT",
            "gated": True,
            "card": "https://example.org/mixed",
            "aliases": {"moe": "it was called so."},
            "replaces": {"dense": "it is gone."},
            "facts": facts | {"kv_bytes_per_token": 100_000},
        },
        "bare": {
            "source": {"path": "models/bare"},
            "max_model_len": 512,
            "thinking": {"open": "<think>", "close": "</think>"},
            "template_arguments": {"enable_thinking": False},
        },
    }
    category = {"models": ["mixed"], "datasets": ["sums"], "optional_datasets": ["products"]}
    (tmp_path / "config").mkdir()
    for kind, entries in (("models", models), ("categories", {"all": category})):
        (tmp_path / "config" / f"{kind}.yaml").write_text(yaml.safe_dump(entries))
    text = page.models(tmp_path)
    # 0.9 of 79.65 GiB less 4 GiB and 25 GB leave 47.676 GB for the cache.
    for line in (
        "| `mixed` | [Mixed 47B](https://example.org/mixed): `org/mixed-AWQ`, 0123456789ab | AWQ "
        "| 47 billion, 13 at work | 25 GB | 100 kB, 476,000 tokens |",
        "| `bare` | bare: `models/bare` | ? | ? | ? | ? |",
        "| `mixed` | 4,096 of 8,192 | chat, with a system prompt, template of this repository "
        "| yes, 16,384 tokens more | temperature 0.6, top k 20 | MIT, gate |",
        "| `bare` | 512 | chat | switched off | greedy | not stated |",
        "| `all` | `mixed` | `sums` | `products` |",
        "| `moe` | stands for `mixed` | it was called so. |",
        "| `dense` | refused; `mixed` has its place | it is gone. |",
    ):
        assert line in text.splitlines()
