"""Find the program in what a model wrote.

    extract(text, prompt, entry_point, continuation)   a function: Found(answer, program) or Missing
    extract_script(text)                               a program that reads input and prints
    parse(source)                                      the tree of a source, or None

An answer may be a continuation of the prompt, a whole function, several fenced blocks, code between
paragraphs, or a body alone. What counts is the last piece that parses and does what was asked for,
with the pieces that define the names it needs, and with the prompt's own imports and helpers before
it. No statement is ever taken out of a piece; text behind the code is cut only where a line at the
left margin does not parse. Nothing is run here: strangers' text is only parsed, with a bound on the
work, whatever it holds.

Thoughts that a model leaves in its answer (everything up to the last `</think>`) are no part of it.
"""

from snakeval.extraction.answers import Found, Missing
from snakeval.extraction.functions import extract
from snakeval.extraction.pieces import parse
from snakeval.extraction.scripts import extract_script

__all__ = ["Found", "Missing", "extract", "extract_script", "parse"]
