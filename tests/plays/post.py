"""Mails that left and what came back of them, put straight into the tables."""

from __future__ import annotations

from worker.lib.store import Store


class Post:
    """A store with one customer to whom all mails go."""

    def __init__(self, store: Store, customers: int = 1) -> None:
        self.store = store
        self._n = 0
        store.many(
            "insert into customers (id, name, first_at) values (:id, 'A', 0)",
            [{"id": f"cus_{n}"} for n in range(customers)],
        )

    def mailed(self, play: str, at: int, *, state: str = "done", customer: str = "cus_0", lane: str = "mail") -> str:
        """One mail of a play; gives the effect's id."""
        self._n += 1
        effect_id = f"eff_{self._n:05d}"
        self.store.run(
            "insert into effects (id, key, lane, kind, customer_id, play, payload, state, created_at, due_at, finished_at)"
            " values (:id, :id, :lane, :lane, :customer, :play, '{}', :state, :at, :at, :at)",
            {"id": effect_id, "lane": lane, "play": play, "state": state, "customer": customer, "at": at},
        )
        return effect_id

    def refused(self, play: str, at: int, *, customer: str = "cus_0") -> None:
        """What the play would have done, and was not."""
        self._n += 1
        self.store.run(
            "insert into refusals (id, customer_id, play, rule, reason, at) values (:id, :customer, :play, 'consent', '', :at)",
            {"id": f"ref_{self._n:05d}", "play": play, "customer": customer, "at": at},
        )

    def complained(self, effect_id: str, address: str, at: int) -> None:
        self._came_back("complained", effect_id, address, at, 0)

    def bounced(self, effect_id: str, at: int, *, final: int = 1) -> None:
        self._came_back("bounced", effect_id, "x@x.example", at, final)

    def _came_back(self, word: str, effect_id: str, address: str, at: int, final: int) -> None:
        self._n += 1
        self.store.run(
            "insert into mail_events (source, source_id, word, at, address, effect_id, final)"
            " values ('test', :id, :word, :at, :address, :effect_id, :final)",
            {
                "id": f"{self._n}", "word": word, "at": at, "address": address, "effect_id": effect_id or None, "final": final,
            },
        )  # fmt: skip
