"""Finds the integrations by looking in `integrations/`, and connects those that the workspace has set up."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import integrations
from worker.integration import Integration, Settings
from worker.lib.clock import Clock
from worker.lib.http import Http


@dataclass(frozen=True)
class Connected:
    """An integration that the workspace uses, with its settings and its one connection."""

    integration: Integration
    settings: Settings
    http: Http | None
    """None for what needs no connection of ours (files, the console)."""


class Configured(Protocol):
    """What `connect` needs to know of a workspace: the settings of each integration that it uses, by name."""

    @property
    def integrations(self) -> Mapping[str, Settings]:
        """By the integration's name."""


def find(package: str = integrations.__name__) -> dict[str, Integration]:
    """Every integration there is, by its name, in alphabetical order. Files that begin with `_` are helpers.

    Raises TypeError, naming the file, where one does not end with an INTEGRATION of its own name.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))
    return {name: _read(package, name) for name in names if not name.startswith("_")}


def _read(package: str, name: str) -> Integration:
    found = getattr(importlib.import_module(f"{package}.{name}"), "INTEGRATION", None)
    if not isinstance(found, Integration):
        raise TypeError(f"{package}/{name}.py has no integration; end it with INTEGRATION = Integration(…)")
    if found.name != name:
        raise TypeError(f"{package}/{name}.py calls itself {found.name!r}; file and name must be the same")
    return found


def connect(config: Configured, clock: Clock) -> dict[str, Connected]:
    """Connect every integration that the workspace has set up. No call is made yet."""
    known = find()
    return {
        name: Connected(
            known[name], settings, connection(settings, clock) if (connection := known[name].connect) else None
        )
        for name, settings in sorted(config.integrations.items())
    }
