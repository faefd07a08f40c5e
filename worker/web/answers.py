"""Answers for machines: plain JSON, and refusals with the members of RFC 9457 §3.1.

Sent as application/json: no-code tools parse nothing else (`application/problem+json` reaches Make as raw text).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Any JSON."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, dict(headers or {}), content_type="application/json")


def problem(
    status: int, detail: str, *, code: str, field: str = "", hint: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """A refusal: `detail` is one sentence for a person, `code` a word for a machine, `field` where the fault lies."""
    members = {
        "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status,
        "detail": detail, "code": code, "field": field, "hint": hint,
    }  # fmt: skip
    return answer(members, status, headers)


def where(error: Exception) -> str:
    """An exception for the log, by kind and place only: its message may quote the request."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
    return f"{type(error).__name__} at {place}"
