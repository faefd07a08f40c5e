"""Named mutants: one wrong line each, and the tests that must notice.

A promise is only as good as its test. So for every promise there is at least one way to break it on purpose, in a copy
of the source, and the named tests must fail there. Run one by hand with `pytest -m prove tests/prove -k <name>`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]

COPIED = ("worker", "integrations", "templates", "recipes", "tests", "bench", "docs", "pyproject.toml")
"""What a test may need of the checkout."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong line."""

    name: str
    promise: int
    """The number of the promise in the design that it breaks."""
    file: str
    old: str
    """The text that is replaced; stands in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """pytest's ids of the tests that must fail, every one; without brackets: at least one of its cases."""


MUTANTS = (
    Mutant(
        "acknowledge before it is stored",
        1,
        "worker/intake/receive.py",
        'outcome = batch.outcomes.get(str(row["id"]))',
        'outcome = Received(str(row["id"]), duplicate=False)',
        ("tests/intake/test_receive.py::test_when_the_database_is_gone_everyone_hears_and_nothing_is_acknowledged",),
    ),
    Mutant(
        "dedupe by event id alone",
        2,
        "worker/intake/receive.py",
        '"body_hash": hashlib.sha256(body).hexdigest(),',
        '"body_hash": "",',
        ("tests/intake/test_receive.py::test_a_delivery_that_differs_in_anything_is_another",),
    ),
    Mutant(
        "turn without the lease",
        2,
        "worker/lib/lease.py",
        "        mine = self._store.row(_TAKE, binds) is not None\n",
        "        mine = self._store.row(_TAKE, binds) is not None or True\n",
        ("tests/test_schedule.py::test_only_one_turns_at_a_time",),
    ),
    Mutant(
        "do the work of a slot again",
        2,
        "worker/lib/lease.py",
        'return self._store.row(_TAKEN, {"job": job, "slot": slot}) is not None',
        "return False",
        ("tests/test_schedule.py::test_two_wheels_do_the_work_of_a_slot_once",),
    ),
    Mutant(
        "read what happened after the moment",
        3,
        "worker/scoring/asking.py",
        " and f.at <= w.at",
        "",
        ("tests/scoring/test_measures.py::test_what_happens_after_the_moment_has_no_influence",),
    ),
    Mutant(
        "take the day of the moment whole",
        3,
        "worker/scoring/measures.py",
        "is_cut = self._door.is_rollup and",
        "is_cut = self._door.people and",
        ("tests/scoring/test_sentences.py::test_what_happens_later_on_the_day_has_no_influence",),
    ),
    Mutant(
        "divide by a normal as floats do",
        3,
        "worker/scoring/measures.py",
        "nine(CONTEXT.divide(value, normal))",
        "Decimal(float(value) / float(normal))",
        ("tests/scoring/test_measures.py::test_a_share_of_odd_numbers_is_exact",),
    ),
    Mutant(
        "keep more than nine places",
        3,
        "worker/scoring/score.py",
        "base, coverage = None if raw is None else nine(raw), framed.coverage",
        "base, coverage = raw, framed.coverage",
        ("tests/scoring/test_models.py::test_categories_weigh_by_importance",),
    ),
    Mutant(
        "pass a rule over",
        3,
        "worker/scoring/score.py",
        "if truth(rule.when, seen):",
        "if False:",
        ("tests/scoring/test_score.py::test_a_rule_holds_the_band_and_leaves_the_score",),
    ),
    Mutant(
        "let a rule wait like a wobble",
        3,
        "worker/scoring/bands.py",
        "    held = _limited(card, assessment, previous.band)",
        "    held = previous.band",
        ("tests/scoring/test_bands.py::test_a_rule_speaks_at_once_and_its_end_waits",),
    ),
    Mutant(
        "turn at the line instead of past it",
        3,
        "worker/scoring/bands.py",
        "return not band.takes(cut) and band.edge - cut >= hold",
        "return not band.takes(cut)",
        ("tests/scoring/test_bands.py::test_a_turn_takes_points_past_the_line_and_days",),
    ),
    Mutant(
        "turn without waiting for the days",
        3,
        "worker/scoring/bands.py",
        "    if day - since < dwell:",
        "    if dwell < 0:",
        ("tests/scoring/test_bands.py::test_a_turn_takes_points_past_the_line_and_days",),
    ),
    Mutant(
        "begin to wait anew with every pass",
        3,
        "worker/scoring/bands.py",
        "_milder(card, previous, target), previous.waiting_since",
        "_milder(card, previous, target), day",
        ("tests/scoring/test_bands.py::test_the_standing_tells_what_waits_and_since_when",),
    ),
    Mutant(
        "forget what a source said before it went down",
        4,
        "worker/scoring/score.py",
        "    if last is None:\n        return reading",
        "    if True:\n        return reading",
        ("tests/scoring/test_score.py::test_a_source_that_is_down_freezes_its_measures",),
    ),
    Mutant(
        "turn a band on what is frozen",
        4,
        "worker/scoring/bands.py",
        "    if frozen is None:\n        return _settled",
        "    if frozen is None or frozen:\n        return _settled",
        ("tests/scoring/test_bands.py::test_days_of_waiting_pass_only_where_it_would_be_as_bad_at_best",),
    ),
    Mutant(
        "write about what is not coming in",
        4,
        "worker/plays/arbiter.py",
        "    if case.not_coming_in:\n        return Wait",
        "    if False:\n        return Wait",
        ("tests/test_guard.py::test_a_mail_that_waited_for_the_morning_waits_for_the_source_and_is_asked_about_again",),
    ),
    Mutant(
        "take the missed evening for an empty one",
        4,
        "worker/assess.py",
        "down=missed.union(terms.sources.down)",
        "down=terms.sources.down",
        ("tests/test_guard.py::test_an_evening_that_could_not_be_asked_for_turns_nobody_worse_at_midnight",),
    ),
    Mutant(
        "take what could not be known for the worst",
        4,
        "worker/scoring/score.py",
        'return measure.if_not_applicable if state == "not_applicable" else None',
        'return measure.if_not_applicable if state == "not_applicable" else Decimal(0)',
        ("tests/scoring/test_score.py::test_a_source_that_was_down_from_the_start_is_not_known",),
    ),
    Mutant(
        "let a rule fire on what is missing",
        4,
        "worker/scoring/expressions.py",
        'return (self.sign == "!=") if self._asks_what_it_is else None',
        "return True",
        ("tests/scoring/test_score.py::test_a_rule_that_hangs_on_what_is_missing_does_not_fire",),
    ),
    Mutant(
        "colour those about whom too little is known",
        4,
        "worker/scoring/score.py",
        "coverage >= card.least_known",
        "coverage >= 0",
        ("tests/scoring/test_score.py::test_too_little_known_is_grey_and_no_rule_colours_it",),
    ),
    Mutant(
        "send an interrupted mail again",
        2,
        "worker/dispatch/outbox.py",
        'if lane not in (Lane.MAIL, Lane.SMS) or row["attempt"] != row["attempts"]:',
        "if True:",
        ("tests/dispatch/test_outbox.py::test_a_mail_is_sent_again_only_where_that_cannot_be_a_second_time",),
    ),
    Mutant(
        "forget that the lease is held",
        2,
        "worker/lib/lease.py",
        "where leases.until < :now or leases.owner = excluded.owner",
        "where 1 = 1",
        ("tests/lib/test_lease.py::test_two_leases_exclude_each_other_until_one_is_given_back",),
    ),
    Mutant(
        "take the attributes of today for those of then",
        3,
        "worker/sql/plays.sql",
        "customer_id <= :to_id and at <= :now\norder by customer_id, name",
        "customer_id <= :to_id and :now > 0\norder by customer_id, name",
        ("tests/plays/test_records.py::test_the_segment_is_what_the_customer_was_then",),
    ),
    Mutant(
        "write without a snapshot",
        5,
        "worker/dispatch/writeback.py",
        "        journal.snapshot(self.store, self.source, contacts.values(), seconds(self.clock))\n",
        "",
        ("tests/dispatch/test_writeback.py::test_nothing_is_written_before_a_snapshot_and_a_before_image_exist",),
    ),
    Mutant(
        "act in watch",
        5,
        "worker/assess.py",
        "return modes.decides(terms.mode) and not terms.silent",
        "return not terms.silent",
        ("tests/test_river.py::test_in_watch_nothing_leaves_however_much_happens",),
    ),
    Mutant(
        "mail without asking the arbiter again",
        6,
        "worker/dispatch/mail.py",
        "    return arbiter.ask(case, rules)\n",
        "    return arbiter.Go(case.mode)\n",
        ("tests/dispatch/test_consent.py::test_what_comes_between_queueing_and_sending_stops_the_mail",),
    ),
    Mutant(
        "mail without asking the CRM again",
        6,
        "worker/dispatch/mail.py",
        "            if not reread(frozenset(waiting.values())):\n                break\n",
        "",
        ("tests/dispatch/test_consent.py::test_an_opt_out_that_no_pull_brings_is_seen_before_the_mail_leaves",),
    ),
    Mutant(
        "write to a CRM that was never tried",
        5,
        "worker/lanes.py",
        'if not switch(store, f"canary:{source}"):',
        "if False:",
        ("tests/dispatch/test_writeback.py::test_nothing_is_written_before_one_contact_has_been_tried",),
    ),
    Mutant(
        "write what already stands",
        5,
        "worker/dispatch/writeback.py",
        'if shows.get(name, "") != value and ',
        "if ",
        ("tests/dispatch/test_writeback.py::test_when_nothing_moved_nothing_is_written",),
    ),
    Mutant(
        "undo to what was written",
        5,
        "worker/dispatch/journal.py",
        'before = written[-1]["before"]',
        'before = written[-1]["after"]',
        ("tests/dispatch/test_writeback.py::test_a_run_undone_leaves_keap_as_the_snapshot_says",),
    ),
    Mutant(
        "write in the night",
        6,
        "worker/plays/arbiter.py",
        "frequency, priority, hours, approval,",
        "frequency, priority, approval,",
        ("tests/plays/test_arbiter.py::test_quiet_hours_hold_from_their_first_minute_to_before_their_last",),
    ),
    Mutant(
        "write as often as one likes",
        6,
        "worker/plays/arbiter.py",
        "stability, frequency, priority, hours,",
        "stability, priority, hours,",
        ("tests/plays/test_arbiter.py::test_the_next_mail_may_go_exactly_seven_days_after_the_last",),
    ),
    Mutant(
        "write in the midst of trouble",
        6,
        "worker/plays/arbiter.py",
        "    if case.troubles:\n",
        "    if False:\n",
        ("tests/plays/test_arbiter.py::test_nobody_is_written_to_whom_somebody_must_help_first",),
    ),
    Mutant(
        "write to who unsubscribed",
        6,
        "worker/plays/arbiter.py",
        "    if case.stopped:\n",
        "    if False:\n",
        ("tests/test_story.py::test_a_customer_who_unsubscribes_is_not_written_to_again",),
    ),
    Mutant(
        "forget what was refused",
        6,
        "worker/dispatch/mail.py",
        "            plays.keep_refusal(self.store, refusal, now, queued.id)\n",
        "            del refusal\n",
        ("tests/dispatch/test_consent.py::test_what_comes_between_queueing_and_sending_stops_the_mail",),
    ),
    Mutant(
        "tell a customer their colour",
        7,
        "templates/email/failed-payment.md",
        "Nothing has been switched off.",
        "Your health score has turned yellow.",
        ("tests/test_story.py::test_a_customer_falls_silent_and_fails_to_pay_and_is_seen_tagged_and_written_to_once",),
    ),
    Mutant(
        "believe an empty secret",
        8,
        "worker/lib/signing.py",
        "        if not secret:\n            continue\n",
        "",
        ("tests/lib/test_signing.py::test_an_empty_secret_matches_nothing",),
    ),
    Mutant(
        "believe a signature from the future",
        8,
        "worker/lib/signing.py",
        "return abs(now - timestamp) <= tolerance",
        "return now - timestamp <= tolerance",
        ("tests/lib/test_signing.py::test_a_signed_moment_is_believed_for_five_minutes_either_way",),
    ),
    Mutant(
        "repeat what may be a secret",
        8,
        "worker/config.py",
        'path, "is no name of an environment variable",',
        'path, f"{name!r} is no name of an environment variable",',
        ("tests/test_config.py::test_a_secret_in_the_wrong_place_is_told_and_never_shown",),
    ),
)


class Survived(AssertionError):
    """A promise can be broken without a test that notices."""


def kill(mutant: Mutant, folder: Path, top: Path = TOP) -> None:
    """Copy the source below `top` into `folder`, make the one change, and run the named tests there.

    Raises Survived where one of them does not fail; LookupError where the text is not there exactly once, or a test does
    not exist: then the mutant is stale.
    """
    _copy(top, folder)
    path = folder / mutant.file
    text = path.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise LookupError(f"{mutant.name}: {mutant.file} holds the text {text.count(mutant.old)} times, not once")
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    code, said = _pytest(mutant.tests, folder)
    if code not in {0, 1}:  # nothing was run: no such test, or the mutant cannot even be imported
        raise LookupError(f"{mutant.name}: pytest gave up\n{said}")
    failed = re.findall(r"^FAILED (\S+?)(?:\[.*)?(?: - .*)?$", said, re.MULTILINE)
    unmoved = [test for test in mutant.tests if test.split("[")[0] not in failed]
    if unmoved:
        raise Survived(f"{mutant.name} breaks promise {mutant.promise} and these do not notice: {unmoved}\n{said}")


def _copy(top: Path, folder: Path) -> None:
    for name in COPIED:
        if (top / name).is_dir():
            shutil.copytree(top / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (top / name).is_file():
            shutil.copy(top / name, folder / name)


def _pytest(tests: tuple[str, ...], folder: Path) -> tuple[int, str]:
    environ = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "KEEPWELL_SHARED": os.environ.get("KEEPWELL_SHARED", str(TOP.parent / "shared")),
    }
    for name in ("PROVE_SECONDS", "CI", "BUILD_NUMBER"):  # pytest tells whole pages where it believes to be in a CI
        environ.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-m", "prove or not prove", "-p", "no:cacheprovider",
         "--timeout", "60", *tests],
        cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout[-4_000:] + done.stderr[-1_000:]
