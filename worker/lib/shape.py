"""What a TOML file must look like: a pydantic model held against it, every mistake in plain words with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from worker.lib.problems import Problem, Problems
from worker.lib.toml import Document

Model = TypeVar("Model", bound=BaseModel)


def spell(word: str, known: Iterable[str]) -> str:
    """A cure for an unknown word: the nearest known one, else the list of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, 1, 0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "use one of: " + ", ".join(names[:20]) if names else ""


def written(path: Path) -> str:
    """The text of a file that somebody wrote. Raises Problems where it is not UTF-8 or cannot be read."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        problem = Problem(path.name, 0, "", "is not UTF-8 text", "save it as UTF-8")
    except OSError as error:
        problem = Problem(path.name, 0, "", f"cannot be read: {error.strerror or error}", "mend its permissions")
    raise Problems([problem])


def shaped(model: type[Model], document: Document, file: str, *, under: tuple[str, ...] = ()) -> Model:
    """Hold a document (or the table `under` it) against a model. Raises Problems with every mistake."""
    data: Any = document.data
    for key in under:
        data = data.get(key, {})
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise Problems(_problem(model, document, file, under, one) for one in error.errors(include_url=False)) from None


def _problem(model: type[BaseModel], document: Document, file: str, under: tuple[str, ...], one: Any) -> Problem:
    path = (*under, *(part for part in one["loc"] if not str(part).startswith("function-")))
    key = ".".join(str(part) for part in path)
    line = document.line(*path)
    kind, value = one["type"], one["input"]
    if kind == "missing":
        return Problem(file, line, key, "is missing", "add it")
    if kind == "extra_forbidden":
        return Problem(file, line, key, "is no setting here", spell(str(path[-1]), _siblings(model, one["loc"])))
    shown = f"{value!r:.60}" if not isinstance(value, dict | list) else "a table or list"
    if isinstance(value, SecretStr):
        shown = "the secret"
    return Problem(file, line, key, f"{shown} will not do", _cure(one))


_CURES = {
    # the beginning of pydantic's word for the mistake, what to write instead
    "string_type": 'write text in quotes: "…"',
    "string_pattern": "write it as the example file shows",
    "string_too_short": "write at least {min_length} characters",
    "too_short": "write at least {min_length} of it",
    "int": "write a whole number",
    "float": "write a number",
    "bool": "write true or false",
    "tuple": 'write a list: ["…"]',
    "list": 'write a list: ["…"]',
    "dict": "write a section, or {{ key = … }}",
    "model": "write a section, or {{ key = … }}",
    "literal_error": "write {expected}",
    "greater_than_equal": "write at least {ge}",
    "greater_than": "write more than {gt}",
    "less_than_equal": "write at most {le}",
    "less_than": "write less than {lt}",
}


def _cure(one: Any) -> str:
    """What to write instead: our validators' own words, else a sentence for pydantic's kind of mistake."""
    for beginning, cure in _CURES.items():
        if one["type"].startswith(beginning):
            return cure.format(**one.get("ctx", {}))
    return str(one["msg"]).removeprefix("Value error, ")


def _siblings(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    found: Any = model
    for part in location[:-1]:
        field = getattr(found, "model_fields", {}).get(part)
        inner = getattr(field, "annotation", None)
        for option in (inner, *getattr(inner, "__args__", ())):
            if isinstance(option, type) and issubclass(option, BaseModel):
                found = option
    return list(getattr(found, "model_fields", {}))
