"""The pretend Keap's tags, their categories, and who has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from flask import Response

from worker.lib.clock import Clock, iso
from worker.sandbox.servers import keap_listings as listings
from worker.sandbox.servers.base import Faults, json_response
from worker.sandbox.servers.keap_front import (
    V2,
    KeapFront,
    answer_page,
    json_body,
    lookup,
    no_content,
    update_mask,
)
from worker.sandbox.servers.keap_gateway import Limits
from worker.sandbox.servers.keap_query import Refusal
from worker.sandbox.servers.keap_records import Tag

LONGEST_NAME: Final = 255
"""Letters behind these are dropped without a word."""


class KeapTags(KeapFront):
    """Keap with the doors to its tags."""

    def __init__(
        self, clock: Clock, faults: Faults | None, *, key: str, other_keys: Iterable[str], limits: Limits | None
    ) -> None:
        """Open the doors."""
        super().__init__(clock, faults, key=key, other_keys=other_keys, limits=limits)
        self.fail_next_items = 0
        """How many of the next contacts that would get a tag are answered FAILURE instead."""
        self.open_doors((
            ("GET", f"{V2}/tags", self.list_tags),
            ("POST", f"{V2}/tags", self.create_tag),
            ("GET", f"{V2}/tags/<tag_id>", self.get_tag),
            ("PATCH", f"{V2}/tags/<tag_id>", self.patch_tag),
            ("DELETE", f"{V2}/tags/<tag_id>", self.remove_tag),
            ("GET", f"{V2}/tags/categories", self.list_categories),
            ("POST", f"{V2}/tags/categories", self.create_category),
            ("GET", f"{V2}/tags/categories/<category_id>", self.get_category),
            ("PATCH", f"{V2}/tags/categories/<category_id>", self.patch_category),
            ("DELETE", f"{V2}/tags/categories/<category_id>", self.remove_category),
            ("POST", f"{V2}/tags/<tag_id>/contacts:applyTags", self.apply_tag),
            ("POST", f"{V2}/tags/<tag_id>/contacts:removeTags", self.unapply_tag),
            ("GET", f"{V2}/tags/<tag_id>/contacts", self.list_contacts_with_tag),
            ("GET", f"{V2}/tags/-/contacts", self.list_contacts_with_tags),
        ))  # fmt: skip

    # -- tags -------------------------------------------------------------------------------------------------------

    def list_tags(self) -> Response:
        """A page of tags."""
        return answer_page(listings.tags(), self.tags.values(), Tag.view)

    def get_tag(self, tag_id: str) -> Response:
        """One tag."""
        return json_response(lookup(self.tags, tag_id, "tag").view())

    def create_tag(self) -> Response:
        """Make a tag; names are unique."""
        body = self._tag_body(required=("name",))
        self._free(self.tags.values(), body["name"])
        tag = self.make_tag(body["name"], body.get("description", ""), body.get("category", {}).get("id", ""))
        return json_response(tag.view(), 201)

    def patch_tag(self, tag_id: str) -> Response:
        """Update a tag with only what is given."""
        tag = lookup(self.tags, tag_id, "tag")
        mask, body = update_mask({"name", "description", "category"}), self._tag_body()
        given = {name: value for name, value in body.items() if not mask or name in mask}
        if "name" in given and given["name"] != tag.name:
            self._free(self.tags.values(), given["name"])
        tag.name, tag.description = given.get("name", tag.name), given.get("description", tag.description)
        tag.category_id = given.get("category", {}).get("id", tag.category_id)
        tag.updated_at = self.now
        self.changed("contactGroup.edit", tag.id)
        return json_response(tag.view())

    def remove_tag(self, tag_id: str) -> Response:
        """Delete a tag; it comes off every contact."""
        tag = lookup(self.tags, tag_id, "tag")
        for contact in self.contacts.values():
            self.unapply(contact, tag, self.who)
        del self.tags[tag_id]
        self.changed("contactGroup.delete", tag_id)
        return no_content()

    def apply_tag(self, tag_id: str) -> Response:
        """Put a tag on many contacts; 200 even where some fail, so every result has to be looked at."""
        tag = lookup(self.tags, tag_id, "tag")
        return json_response(
            {"results": {contact_id: self._apply_one(tag, contact_id) for contact_id in _contact_ids()}}
        )

    def _apply_one(self, tag: Tag, contact_id: str) -> str:
        contact = self.contacts.get(contact_id)
        if contact is None:
            return "CONTACT_NOT_FOUND"
        if self.fail_next_items and tag.id not in contact.tags:
            self.fail_next_items -= 1
            self.faults.count("failed_item")
            return "FAILURE"
        return "SUCCESS" if self.apply(contact, tag, self.who) else "DUPLICATE"

    def unapply_tag(self, tag_id: str) -> Response:
        """Take a tag off many contacts; nobody is told about those who are not there."""
        tag = lookup(self.tags, tag_id, "tag")
        for contact_id in _contact_ids():
            if contact_id in self.contacts:
                self.unapply(self.contacts[contact_id], tag, self.who)
        return no_content()

    def list_contacts_with_tag(self, tag_id: str) -> Response:
        """The contacts that have a tag."""
        tag = lookup(self.tags, tag_id, "tag")
        return answer_page(listings.contacts_with_tag(), self._applied([tag]), _tagged)

    def list_contacts_with_tags(self) -> Response:
        """Contact by contact, who has which of up to 100 tags."""
        return answer_page(listings.contacts_with_tags(), self._applied(self.tags.values()), _tagged_with)

    def _applied(self, tags: Iterable[Tag]) -> list[listings.Applied]:
        return [(contact, tag) for tag in tags for contact in self.contacts.values() if tag.id in contact.tags]

    def _tag_body(self, required: tuple[str, ...] = ()) -> dict[str, Any]:
        body = json_body({"name", "description", "category"}, required=required)
        if "name" in body:
            body["name"] = str(body["name"])[:LONGEST_NAME]
        category = body.get("category")
        if category is not None and (not isinstance(category, dict) or category.get("id") not in self.categories):
            raise Refusal(400, "category must be {id} of a tag category that exists")
        return body

    def _free(self, named: Iterable[Any], name: str) -> None:
        if any(row.name == name for row in named):
            raise Refusal(409, f"The name is taken: {name}")

    # -- tag categories ---------------------------------------------------------------------------------------------

    def list_categories(self) -> Response:
        """A page of tag categories."""
        return answer_page(listings.categories(), self.categories.values(), lambda category: category.view())

    def get_category(self, category_id: str) -> Response:
        """One tag category."""
        return json_response(lookup(self.categories, category_id, "tag category").view())

    def create_category(self) -> Response:
        """Make a tag category; names are unique."""
        body = json_body({"name", "description"}, required=("name",))
        self._free(self.categories.values(), body["name"])
        return json_response(self.make_category(body["name"], body.get("description", "")).view(), 201)

    def patch_category(self, category_id: str) -> Response:
        """Update a tag category with only what is given."""
        category = lookup(self.categories, category_id, "tag category")
        mask, body = update_mask({"name", "description"}), json_body({"name", "description"})
        given = {name: value for name, value in body.items() if not mask or name in mask}
        if "name" in given and given["name"] != category.name:
            self._free(self.categories.values(), given["name"])
        category.name = given.get("name", category.name)
        category.description = given.get("description", category.description)
        category.updated_at = self.now
        return json_response(category.view())

    def remove_category(self, category_id: str) -> Response:
        """Delete a tag category that is empty."""
        category = lookup(self.categories, category_id, "tag category")
        if any(tag.category_id == category.id for tag in self.tags.values()):
            raise Refusal(409, f"The category still has tags: {category.name}")
        del self.categories[category_id]
        return no_content()


def _contact_ids() -> list[str]:
    ids = json_body({"contact_ids"}).get("contact_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(contact_id, str) for contact_id in ids):
        raise Refusal(400, "contact_ids must be a list of ids, as text")
    if len(set(ids)) < len(ids):
        raise Refusal(400, "contact_ids must not repeat an id")
    return ids


def _tagged(row: listings.Applied) -> dict[str, Any]:
    """As `TaggedContact`."""
    contact, tag = row
    names = {name: contact.properties[name] for name in ("given_name", "family_name") if name in contact.properties}
    return {"id": contact.id, "email": contact.email} | names | {"applied_time": iso(contact.tags[tag.id])}


def _tagged_with(row: listings.Applied) -> dict[str, Any]:
    contact, tag = row
    return {"contact_id": contact.id, "tag_id": tag.id, "applied_at": iso(contact.tags[tag.id])}
