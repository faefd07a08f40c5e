"""Taking Keepwell out of Keap: our tags, their category, our fields and hooks, and nobody else's.

A tag and the category say in their description that they are ours; of a field, which has none, we remember that we made
it. What was there before and was only adopted stays, and a person is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from integrations._keap_calls import API, Missing, identifier, listed, model
from integrations._keap_house import OURS, category_of
from worker.integration import CrmIds, Removed
from worker.lib.http import Failure, GiveUp, Http

HOOKS: Final = "/crm/rest/v1/hooks"
"""REST hooks are only in v1."""

STAYS: Final = (
    "The mails in the contacts' history and the tasks that people were given stay in Keap: they are what happened. Delete"
    " them there if they shall go"
)


@dataclass
class _Taking:
    """One removal: goes on after what fails, and says so."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def try_to(self, what: str, act: Callable[[], object], else_do: str) -> None:
        """Delete one thing; what is gone already is as good as deleted."""
        try:
            act()
        except Missing:
            pass
        except Failure as failure:
            self.left.append(f"{what}: {failure}; {else_do}")
            return
        self.done.append(what)

    def look(self, what: str, read: Callable[[], list[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
        """What is there; nothing where Keap does not say."""
        try:
            return read()
        except Failure as failure:
            self.left.append(f"{what} could not be looked for: {failure}; run this again")
            return []


def remove(http: Http, settings: object, public_url: str, ids: CrmIds) -> Removed:
    """Delete what Keepwell made in Keap, hooks first; gives in words what was deleted and what a person has to do."""
    taking = _Taking()
    _hooks(http, public_url, taking)
    _tags(http, ids, taking)
    _fields(http, ids, taking)
    return Removed(tuple(taking.done), (*taking.left, STAYS))


def _hooks(http: Http, public_url: str, taking: _Taking) -> None:
    """Those that lead to us, by their address."""
    ours = f"{public_url.rstrip('/')}/"
    for hook in taking.look("REST hooks", lambda: _records(http.get(HOOKS).data)):
        key, url, event = (str(hook.get(name) or "") for name in ("key", "hookUrl", "eventKey"))
        if not public_url:
            taking.left.append(
                f"REST hook {key} ({event}): no public_url is set, so it is not known whose it is; delete it in Keap if"
                " it leads here"
            )
        elif url.startswith(ours):
            taking.try_to(f"REST hook {key} ({event})", partial(http.delete, f"{HOOKS}/{key}"), "run this again")


def _tags(http: Http, ids: CrmIds, taking: _Taking) -> None:
    """Our tags, which deleting takes off every contact, and then the category if nobody else's tag is in it."""
    categories = [one for one in _categories(http, taking) if one.get("description") == OURS]
    inside = taking.look("Tags", lambda: [tag for one in categories for tag in _tags_in(http, identifier(one))])
    known = taking.look("Tags", lambda: _by_id(http, ids.tags.values()))
    for tag in {identifier(tag): tag for tag in (*inside, *known)}.values():
        what, tag_id = f"tag {str(tag.get('name') or '?')!r}", identifier(tag)
        if tag_id in ids.made or tag.get("description") == OURS:
            taking.try_to(what, partial(http.delete, f"{API}/tags/{tag_id}"), "delete it in Keap")
        elif tag_id in ids.tags.values():
            taking.left.append(f"{what} was there before Keepwell; take it off the contacts in Keap if it shall go")
    for category in categories:
        _category(http, category, taking)


def _category(http: Http, category: Mapping[str, Any], taking: _Taking) -> None:
    category_id = identifier(category)

    def delete() -> None:
        others = [str(tag.get("name") or "?") for tag in _tags_in(http, category_id)]
        if others:
            raise GiveUp(f"it still has the tags {', '.join(map(repr, others))}")
        http.delete(f"{API}/tags/categories/{category_id}")

    name = str(category.get("name") or "?")
    taking.try_to(f"tag category {name!r}", delete, "move in Keap what shall stay, and delete it there")


def _fields(http: Http, ids: CrmIds, taking: _Taking) -> None:
    """Those that we made, with every contact's value."""
    ours = set(ids.fields.values())
    for custom in taking.look("Custom fields", lambda: list(model(http))) if ours else ():
        what, field_id = f"custom field {str(custom.get('label') or '?')!r}", identifier(custom)
        if field_id in ours & set(ids.made):
            path = f"{API}/contacts/model/customFields/{field_id}"
            taking.try_to(what, partial(http.delete, path), "delete it in Keap")
        elif field_id in ours:
            taking.left.append(f"{what} may have been there before Keepwell; delete it in Keap if it shall go")


def _categories(http: Http, taking: _Taking) -> list[Mapping[str, Any]]:
    return taking.look("Tag categories", lambda: [*listed(http, "/tags/categories", "tag_categories")])


def _tags_in(http: Http, category_id: str) -> list[Mapping[str, Any]]:
    found = listed(http, "/tags", "tags", filter=f"category_id=={category_id}")
    return [tag for tag in found if category_of(tag) == category_id]


def _by_id(http: Http, tag_ids: Iterable[str]) -> list[Mapping[str, Any]]:
    wanted = set(tag_ids)
    if not wanted:
        return []
    found = listed(http, "/tags", "tags", filter=f"tag_ids=={','.join(sorted(wanted))}")
    return [tag for tag in found if identifier(tag) in wanted]


def _records(data: Any) -> list[Mapping[str, Any]]:
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
