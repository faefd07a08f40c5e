"""Keepwell's own things in Keap: one tag category, a tag for each band, a custom field for each part of the standing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from integrations._keap_calls import API, identifier, listed, model
from worker.integration import Begin, CrmIds, CrmNames
from worker.lib.http import GiveUp, Http, Unsure

CREATED_TYPES: Final[Mapping[str, str]] = {
    "score": "WHOLE_NUMBER",  # so that Keap can search for scores above 70
    "band": "TEXT",
    "reason": "TEXT",
    "as_of": "DATE_TIME",
}
"""Our field -> the type of custom field that is made for it. A type cannot be changed later."""

FITTING_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "score": frozenset({"WHOLE_NUMBER", "DECIMAL_NUMBER", "TEXT", "TEXT_AREA"}),
    "band": frozenset({"TEXT", "TEXT_AREA"}),
    "reason": frozenset({"TEXT", "TEXT_AREA"}),
    "as_of": frozenset({"DATE_TIME", "DATE", "TEXT", "TEXT_AREA"}),
}
"""Our field -> the types that an adopted field may have."""

OURS: Final = "Made by Keepwell, which keeps it up to date."
"""The description by which our own category is recognised; a custom field has none."""

CREATE_ATTEMPTS: Final = 3
LOOK_AFTER: Final = 10.0
"""Seconds to wait after a lost answer before asking whether the thing is there."""

Record = Mapping[str, Any]


def find_or_create(
    http: Http, names: CrmNames, *, adopt: bool, known: CrmIds, begin: Begin = lambda making: None
) -> CrmIds:
    """Find our things, or create them. Raises GiveUp, before anything is created, while a name is taken by others."""
    house = _look(http, names, known)
    faults = _misfits(house) + ([] if adopt else _foreign(house))
    if faults:
        raise GiveUp(
            f"Keap has {'; '.join(faults)}, which Keepwell did not make. Rename them in Keap, give Keepwell's own other"
            " names, or let Keepwell adopt them"
        )
    if lacking := house.lacking:
        begin([*dict.fromkeys([*known.making, *lacking])])
    if any(not found for found in house.tags.values()) and not house.categories:
        category = {"name": names.category, "description": OURS}
        look = partial(_categories, http, names.category)
        house = replace(house, categories=[{"id": _create(http, "/tags/categories", category, look)}])
    made = {*known.made, *house.made_before}
    tags = {band: _tag_id(http, house, band, made) for band in names.tags}
    fields = {key: _field_id(http, house, key, made) for key in names.fields}
    return CrmIds(tags, fields, tuple(sorted(made & {*tags.values(), *fields.values()})))  # nothing is in the making


def fields_called(http: Http, label: str) -> list[Record]:
    """The contacts' custom fields of that label; Keap allows several."""
    return [one for one in model(http) if _equal(one.get("label"), label)]


# -- what is there ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _House:
    """What Keap has under our names: the known ones by id, the others by name."""

    names: CrmNames
    known: CrmIds
    categories: Sequence[Record]
    tags: Mapping[str, Sequence[Record]]
    fields: Mapping[str, Sequence[Record]]

    @property
    def category_id(self) -> str:
        return identifier(self.categories[0]) if self.categories else ""

    @property
    def has_our_category(self) -> bool:
        """It says so itself, or holds a tag that we know to be ours."""
        known = set(self.known.tags.values())
        held = {category_of(tag) for tags in self.tags.values() for tag in tags if identifier(tag) in known}
        return bool(self.categories) and (self.categories[0].get("description") == OURS or self.category_id in held)

    @property
    def things(self) -> Mapping[str, Sequence[Record]]:
        """What there is under each of our names, by the words of `CrmIds.making`."""
        return {f"tag:{band}": found for band, found in self.tags.items()} | {
            f"field:{key}": found for key, found in self.fields.items()
        }

    @property
    def lacking(self) -> list[str]:
        """What has to be made."""
        return [thing for thing, found in self.things.items() if not found]

    @property
    def made_before(self) -> set[str]:
        """The ids of what we had begun to make when we broke off, and which is there."""
        return {identifier(one) for thing in self.known.making for one in self.things.get(thing, ())}


def _look(http: Http, names: CrmNames, known: CrmIds) -> _House:
    remembered = {identifier(tag): tag for tag in _tags_by_id(http, known.tags.values())}
    fields = model(http)
    return _House(
        names,
        known,
        _categories(http, names.category),
        {
            band: [remembered[known.tags[band]]] if known.tags.get(band) in remembered else _tags(http, name)
            for band, name in names.tags.items()
        },
        {
            key: [one for one in fields if one.get("id") == known.fields.get(key)]
            or [one for one in fields if _equal(one.get("label"), label)]
            for key, label in names.fields.items()
        },
    )


def _foreign(house: _House) -> list[str]:
    """What bears one of our names and is not ours."""
    ours = house.category_id if house.has_our_category else "none of ours"
    known = {*house.known.tags.values(), *house.known.fields.values(), *house.made_before}
    found = []
    if house.categories and not house.has_our_category:
        found.append(f"a tag category {house.names.category!r}")
    for band, tags in house.tags.items():
        if tags and not any(identifier(tag) in known or category_of(tag) == ours for tag in tags):
            found.append(f"a tag {house.names.tags[band]!r}")
    for key, fields in house.fields.items():
        if fields and identifier(fields[0]) not in known:
            found.append(f"a custom field {house.names.fields[key]!r}")
    return found


def _misfits(house: _House) -> list[str]:
    """Fields that cannot even be adopted."""
    found = []
    for key, fields in house.fields.items():
        label, types = house.names.fields[key], {str(one.get("field_type")) for one in fields}
        if len(fields) > 1:
            found.append(f"{len(fields)} custom fields {label!r}")
        elif types - FITTING_TYPES[key]:
            wanted = " or ".join(sorted(FITTING_TYPES[key]))
            found.append(f"a custom field {label!r} of type {', '.join(types)} (it would have to be {wanted})")
    return found


# -- finding and making -----------------------------------------------------------------------------------------------


def _tag_id(http: Http, house: _House, band: str, made: set[str]) -> str:
    known = house.known.tags.get(band)
    found = sorted(house.tags[band], key=lambda tag: (identifier(tag) != known, category_of(tag) != house.category_id))
    if found:
        return identifier(found[0])
    name = house.names.tags[band]
    tag = {"name": name, "description": OURS, "category": {"id": house.category_id}}
    made.add(tag_id := _create(http, "/tags", tag, partial(_tags, http, name)))
    return tag_id


def _field_id(http: Http, house: _House, key: str, made: set[str]) -> str:
    found = house.fields[key]
    if found:
        return identifier(found[0])
    label = house.names.fields[key]
    custom = {"label": label, "field_type": CREATED_TYPES[key]}
    made.add(field_id := _create(http, "/contacts/model/customFields", custom, partial(fields_called, http, label)))
    return field_id


def _create(http: Http, path: str, body: Record, look: Callable[[], Sequence[Record]]) -> str:
    """Make one thing. It was not there a moment ago: where the answer got lost, what is there now is ours.

    So Keap is asked before it is told again; a creation is never repeated blindly.
    """
    lost: Exception | None = None
    for _ in range(CREATE_ATTEMPTS):
        try:
            return identifier(http.post(f"{API}{path}", json=body).data or {})
        except (Unsure, ValueError) as error:
            lost = error
        http.clock.sleep(LOOK_AFTER)
        made = look()
        if made:
            return identifier(made[0])
    raise Unsure(f"{lost}; look for {body.get('name') or body.get('label')!r} in Keap")


def _categories(http: Http, name: str) -> list[Record]:
    found = listed(http, "/tags/categories", "tag_categories", filter=f"name=={name}")
    return [one for one in found if _equal(one.get("name"), name)]


def _tags(http: Http, name: str) -> list[Record]:
    return [one for one in listed(http, "/tags", "tags", filter=f"name=={name}") if _equal(one.get("name"), name)]


def _tags_by_id(http: Http, tag_ids: Iterable[str]) -> list[Record]:
    wanted = ",".join(sorted(tag_ids))
    return [*listed(http, "/tags", "tags", filter=f"tag_ids=={wanted}")] if wanted else []


def category_of(tag: Record) -> str | None:
    """The id of a tag's category, None where it has none."""
    category = tag.get("category")
    return str(category["id"]) if isinstance(category, dict) and category.get("id") else None


def _equal(one: Any, other: str) -> bool:
    return str(one or "").strip().casefold() == other.strip().casefold()
