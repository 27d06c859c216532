"""Read the YAML files of the configuration, strictly: no duplicate keys, only text as keys."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from snakeval.errors import SnakevalError

BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class StrictLoader(BaseLoader):  # type: ignore[misc]
    """YAML as JSON has it: a key is text and stands once, a date is text."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; a key that is not text or stands twice is an error at its line."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _mark(f"the key {key!r}, which is not text", key_node)
            if key in seen:
                raise _mark(f"the key {key!r} a second time", key_node)
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


# A date such as 2024-07-26 in template_arguments is meant as text, and JSON has no other.
StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in BaseLoader.yaml_implicit_resolvers.items()
}


def _mark(problem: str, node: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _holds_itself(value: Any, above: tuple[int, ...]) -> bool:
    """Whether an alias leads back to a mapping or list that it stands in."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    above = (*above, id(value))
    return any(id(item) in above or _holds_itself(item, above) for item in inner)


def read_yaml(path: Path, name: str) -> dict[str, Any]:
    """Read a mapping.

    Args:
        path: the file.
        name: what the user calls it, for messages.

    Raises:
        SnakevalError: missing, unreadable, malformed (file and line are named), or not a mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except FileNotFoundError as error:
        raise SnakevalError(
            name, "no such file", "a configuration file", "Restore it from the repository."
        ) from error
    except UnicodeDecodeError as error:
        raise SnakevalError(
            f"{name}, byte {error.start}", "bytes that are not UTF-8", "text", "Save it as UTF-8."
        ) from error
    except OSError as error:
        raise SnakevalError(
            name, error.strerror or str(error), "a file that can be read", "Make it readable."
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
        raise SnakevalError(
            line,
            error.problem or "malformed YAML",
            "YAML with each key once",
            "Correct the line; indentation and quotes are the usual causes.",
        ) from error
    except yaml.YAMLError as error:
        raise SnakevalError(name, str(error), "YAML", "Correct the file.") from error
    if _holds_itself(value, ()):
        raise SnakevalError(
            name, "an alias (*name) inside its own anchor", "values that end", "Write it out."
        )
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SnakevalError(
            name, f"a {type(value).__name__}", "a mapping of names", "Write 'name:' lines."
        )
    return value
