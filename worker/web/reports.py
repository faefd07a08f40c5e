"""Reports: pages that are one file each, and need no other file, host or script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

from worker.lib import assets


def page(template: str, filters: Mapping[str, Any], **values: Any) -> str:
    """Fill in a template of `templates/pages/`, as HTML; `filters` are functions by the names it calls them by."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets.folder("templates") / "pages"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(filters)
    return environment.get_template(template).render(values)
