"""What our own links tell: that a mail was opened, or a link in it followed. Each once, however often it happens."""

from __future__ import annotations

import json
from typing import Final

from worker.facts import Delivery, MailEvent, MailWord, Parsed
from worker.integration import Receipt

SOURCE: Final = "keepwell"
STREAM: Final = "links"
CLICKED, OPENED = MailWord.CLICKED.value, MailWord.OPENED.value


def receipt(word: str, named: str, effect_id: str, address: str) -> Receipt:
    """What is stored: of which mail to whom, and what of it. `named` is the link's id, or the mail's own."""
    body = json.dumps({"word": word, "named": named, "effect_id": effect_id, "address": address}, sort_keys=True)
    return Receipt(f"{named}:{word}", body)


def parse(delivery: Delivery) -> Parsed:
    """Read a stored one. Raises ValueError or KeyError for what is none."""
    told = json.loads(delivery.body)
    event = MailEvent(
        MailWord(told["word"]), delivery.received_at, f"{told['named']}:{told['word']}", told["address"],
        effect_id=told["effect_id"],
    )  # fmt: skip
    return Parsed(mail_events=(event,))
