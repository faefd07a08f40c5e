"""What a mail costs until it can be handed over: `python -m bench.mail [--rounds 15] [--mails 400] [--half writing]`.

The other half, how many leave in a second, is `bench/posting.py`.

One template with two conditions, in the layout that ships, is written for as many made-up customers, no two alike:

- `ours` as `Templates.render` does it: Markdown, MJML and CSS were worked on once, what is left is to put values in
- `per mail` the same libraries for each mail: Markdown, MJML to HTML, and the styles written into the tags; the
  template itself is read once here too, and so is the inliner
- `jinja only` what there is at least to do: a finished page, text and subject as templates of Jinja's sandbox
- `message` the MIME message as `integrations.smtp` makes it of a mail that is written already: headers, both parts
- `whole` both: from values to the bytes that go over the wire

Processor time is measured, since other work on the machine would stretch any other. The ratios are taken within a round,
in which the variants take turns, the order moving on by one from round to round; what is printed is the median over the
rounds, with the lowest and the highest beside it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

import css_inline
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markdown_it import MarkdownIt
from markupsafe import escape
from mjml import mjml2html

from bench import posting
from integrations import smtp
from worker.dispatch.letters import Rendered, Sender, Templates
from worker.integration import Letter
from worker.lib import assets
from worker.lib.addresses import Mailbox, address, mailbox

SENDER: Final = Sender(
    "Engines Ltd", "Ann Keeper", "ann@engines.example", "", "1 Loopback Lane, 12700 Localhost",
    "https://keepwell.example",
)  # fmt: skip
STOP: Final = "https://keepwell.example/unsubscribe/ImVmZl8wazNmMTIzNDU2Nzg5MCI.x0y1z2"

HEAD: Final = """\
+++
subject = "Your {{ open_ticket_now }} open questions"
preheader = "The last one came on {{ ticket_raised_last_on }}."
purpose = "service"
needs = ["ticket_raised_count", "ticket_raised_last_on", "open_ticket_now"]
+++
"""
BODY: Final = """\
Hello {{ first_name }},

{% if ticket_raised_count == "1" %}you wrote to our support on {{ ticket_raised_last_on }}{% else %}you wrote to our
support {{ ticket_raised_count }} times, the last time on **{{ ticket_raised_last_on }}**{% endif %}, and
{% if open_ticket_now == "1" %}one question is{% else %}{{ open_ticket_now }} questions are{% endif %} still open.

Three things that you can do today:

- tell me which of them holds you up most
- look into [our notes on this](https://engines.example/notes?from={{ first_name }})
- or call me, I am there until five

That is not forgotten. If one of them holds you up more than the others, I will move it to the front.

{{ sender_name }}
"""

Values = Mapping[str, str]
Write = Callable[[Values], object]

VARIANTS: Final = ("ours", "per mail", "jinja only", "message", "whole")

RATIOS: Final = (
    ("ours / per mail, mails a second", "per mail", "ours", "≥", 8.0),
    ("ours / jinja only, mails a second", "jinja only", "ours", "≥", 0.8),
    ("share of the message in the whole", "message", "whole", "", 0.0),
)
"""What is said, seconds of what, over seconds of what, and the aim."""


def customers(n: int) -> list[dict[str, str]]:
    """Values of made-up customers; what is awkward in HTML is among them."""
    return [
        {
            "first_name": f"{name}{number}", "sender_name": SENDER.name, "business": SENDER.business,
            "ticket_raised_count": str(number % 3 + 1), "ticket_raised_last_on": f"{number % 28 + 1} March",
            "open_ticket_now": str(number % 4 + 1),
        }
        for number, name in enumerate((("Ann", "O'Neill", "Zoë", "A&B") * (n // 4 + 1))[:n])
    ]  # fmt: skip


# -- the variants -----------------------------------------------------------------------------------------------------


def variants(folder: Path) -> dict[str, Write]:
    """name → how it writes one mail."""
    (folder / "bench.md").write_text(HEAD + BODY, "utf-8")
    templates = Templates([assets.folder("templates") / "email", folder])

    def ours(values: Values) -> Rendered:
        return templates.render("bench", values, SENDER, STOP)

    written = ours(customers(1)[0])

    def message(rendered: Rendered) -> bytes:
        letter = Letter(
            "<eff_1@engines.example>", f"{SENDER.name} <{SENDER.address}>", "", "ada@customer.example", "Ada Lovelace",
            rendered.subject, rendered.text, rendered.html, STOP,
        )  # fmt: skip
        sender, to = mailbox(letter.sender), Mailbox(letter.to_name, address(letter.to))
        return smtp.message(letter, sender, to, 1_767_225_600.0).as_bytes()

    return {
        "ours": ours,
        "per mail": _per_mail(),
        "jinja only": _jinja_only(templates),
        "message": lambda values: message(written),
        "whole": lambda values: message(ours(values)),
    }


def _per_mail() -> Write:
    """The same libraries, each at work for each mail."""
    folder = assets.folder("templates") / "email"
    layout, frame = ((folder / name).read_text("utf-8") for name in ("layout.mjml", "layout.txt"))
    plain = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    body, layout_made, frame_made = (plain.from_string(source) for source in (BODY, layout, frame))
    subject, preheader = (plain.from_string(source) for source in _heads())
    markdown = MarkdownIt("commonmark", {"html": False})
    inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)

    def write(values: Values) -> Rendered:
        given = {name: str(escape(value)) for name, value in values.items()}
        heads, said = (subject.render(given), preheader.render(given)), body.render(given)
        around = _around(heads)
        page = mjml2html(layout_made.render(around, body=markdown.render(said)))
        text = frame_made.render(around, body=body.render(values))
        return Rendered(heads[0], text, inliner.inline(str(page)), heads[1])

    return write


def _jinja_only(templates: Templates) -> Write:
    """A finished page, of the longest wording: nothing is left but what Jinja does."""
    names = (*customers(1)[0], "postal_address", "unsubscribe_url")
    marks = {name: f"qq{number}qq" for number, name in enumerate(names)}
    sender = replace(SENDER, business=marks["business"], postal_address=marks["postal_address"])
    page = templates.render("bench", marks, sender, marks["unsubscribe_url"]).html
    page = page.replace(f"from={marks['first_name']}", "from={{ first_name|urlencode }}")
    for name, mark in marks.items():
        page = page.replace(mark, f"{{{{ {name} }}}}")
    safe = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=True)
    plain = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    frame = (assets.folder("templates") / "email" / "layout.txt").read_text("utf-8")
    made, framed, body = safe.from_string(page), plain.from_string(frame), plain.from_string(BODY)
    subject, preheader = (plain.from_string(source) for source in _heads())

    def write(values: Values) -> Rendered:
        heads = subject.render(values), preheader.render(values)
        around = _around(heads)
        text = framed.render(around, body=body.render(values))
        return Rendered(heads[0], text, made.render({**values, **around}), heads[1])

    return write


def _heads() -> tuple[str, str]:
    lines = HEAD.splitlines()
    return lines[1].split('"')[1], lines[2].split('"')[1]


def _around(heads: tuple[str, str]) -> dict[str, str]:
    return {
        "subject": heads[0], "preheader": heads[1], "footer": f"{SENDER.business}, {SENDER.postal_address}",
        "postal_address": SENDER.postal_address, "unsubscribe_url": STOP, "language": "en",
    }  # fmt: skip


# -- rounds -----------------------------------------------------------------------------------------------------------


def measure_writing(rounds: int, mails: int) -> list[dict[str, float]]:
    """Seconds of processor time for one mail, by variant, in every round."""
    with tempfile.TemporaryDirectory() as folder:
        writers = variants(Path(folder))
    values = customers(mails)
    for write in writers.values():
        write(values[0])
    found = []
    for turn in range(rounds):
        order = VARIANTS[turn % len(VARIANTS) :] + VARIANTS[: turn % len(VARIANTS)]
        found.append({name: _slice(writers[name], values) for name in order})
    return found


def _slice(write: Write, values: list[dict[str, str]]) -> float:
    began = time.process_time()
    for one in values:
        write(one)
    return (time.process_time() - began) / len(values)


def report_writing(rounds: list[dict[str, float]]) -> str:
    """The figures of each variant and the ratios beside their aims, as text."""
    lines = [f"{'':<42}{'median':>9}{'lowest':>9}{'highest':>9}"]
    for name in VARIANTS:
        lines.append(_line(f"{name}, mails a second", [1 / one[name] for one in rounds], 0))
        lines.append(_line(f"{name}, processor time in µs", [one[name] * 1e6 for one in rounds], 0))
    lines.append("")
    for words, over, under, sign, aim in RATIOS:
        found = [one[over] / one[under] for one in rounds]
        missed = sign == "≥" and median(found) < aim
        lines.append(_line(words, found, 2) + (f"   aim {sign} {aim}{'  missed' if missed else ''}" if sign else ""))
    return "\n".join(lines)


def _line(words: str, found: list[float], digits: int) -> str:
    return f"{words:<42}" + "".join(f"{value:>9.{digits}f}" for value in (median(found), min(found), max(found)))


def writing(rounds: int, mails: int) -> str:
    """Measure, and say what was found."""
    return report_writing(measure_writing(rounds, mails))


def main() -> None:
    """Read the arguments and run."""
    wants = argparse.ArgumentParser(prog="python -m bench.mail", description=__doc__.splitlines()[0] if __doc__ else "")
    wants.add_argument("--rounds", type=int, default=15, help="how often every variant of writing takes its turn")
    wants.add_argument("--mails", type=int, default=400, help="how many mails each variant writes in each round")
    wants.add_argument("--sendings", type=int, default=5, help="how often every variant of sending takes its turn")
    wants.add_argument("--half", choices=["writing", "sending"], help="only this half; nothing means both")
    wants.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = wants.parse_args()
    if given.serve:
        posting.serve()
    if given.half != "sending":
        sys.stdout.write(writing(given.rounds, given.mails) + "\n")
    if given.half != "writing":
        sys.stdout.write("\n" * (given.half is None) + posting.sending(given.sendings) + "\n")


if __name__ == "__main__":
    main()
