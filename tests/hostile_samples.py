"""Texts that try to break what shows them, and a way to put them into every field of an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "end of the script": "</script></style></pre></details></li></ol></main><img src=x onerror=hacked()>",
    "template": "{{ 7 * 7 }}{% for x in y %}{# no #}${7*7}<%= 7 %>",
    "markdown": "``````\n# not a title\n| a | b |\n[x](javascript:alert(1)) ![x](http://e.invalid/x)",
    "controls": "a\x00b\x1b[31mc\x07\r\nd\x85e",
    "direction": "user \u202e txt.exe \u2066 hidden \u2069",
    "separators": "one\u2028two\u2029three",
    "halves": "\ud83d alone \udc00",
    "attribute": '" onmouseover="hacked()" \' x=\'',
    "path": "../../etc/passwd?x=1#y&z\\\"\n';",
    "formula": '=HYPERLINK("http://e.invalid")',
    "comment": "<!-- <![CDATA[ ]]> -->",
    "prototype": "__proto__",
    "empty": "",
}


def everywhere(text: str) -> Callable[[dict[str, Any]], None]:
    """Put a text into every field that a dataset or model can fill."""

    def change(answer: dict[str, Any]) -> None:
        answer["id"] = f"{answer['id']} {text}"
        for name in ("text", "completion", "answer", "error"):
            answer[name] = text
        answer["target"] = {"solution": text, text: text}
        answer["detail"] = {
            "class": f"odd {text}",
            "message": text,
            "program": text,
            text: [text],
        }

    return change
