"""Questions about a page, from its image: DocVQA as its authors ask it. Answers are judged as those from its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snakeval.records import Sample
from snakeval.tasks import IMAGE, id_field, text_field
from snakeval.tasks._rouge import reference_texts
from snakeval.tasks.document_questions import DocumentQuestions


class DocumentImages(DocumentQuestions):
    """Questions with a page's image as context."""

    name = "document_images"
    version = 1
    roles = ("id", "question", IMAGE, "answers")
    inputs = ("question",)

    def normalise(self, row: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Sample:
        """Return the sample of one row; its image has been kept already, and the column holds its name."""
        return {
            "id": id_field(row, fields, where),
            "inputs": {"question": text_field(row, fields, "question", where).strip()},
            "image": text_field(row, fields, IMAGE, where),
            "target": reference_texts(row, fields, "answers", where),
            "metadata": {},
        }


TASK = DocumentImages()
