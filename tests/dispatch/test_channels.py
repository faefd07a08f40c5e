"""From the outbox through a vendor and back: what the channel tells stops the next mail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integrations import postmark
from tests.dispatch.business import Business, business
from tests.integrations.cases_postmark import SECRET
from tests.integrations.front import front
from worker.lib.clock import DAY
from worker.registry import Connected
from worker.sandbox.servers.postmark import PretendPostmark


@pytest.fixture
def by_postmark(tmp_path: Path) -> Iterator[tuple[Business, PretendPostmark]]:
    """A live business whose mails go through Postmark, and whose hook Postmark knows."""
    with business(tmp_path / "acme") as here:
        vendor = PretendPostmark(here.clock)
        vendor.start()
        settings = postmark.PostmarkSettings.model_validate(
            {"token": vendor.token, "hook_secret": SECRET, "base_url": vendor.base_url}
        )
        http = postmark.connect(settings, here.clock)
        workspace = here.workspace
        workspace.connected = {**workspace.connected, "postmark": Connected(postmark.INTEGRATION, settings, http)}
        outreach = workspace.config.outreach.model_copy(update={"mailer": "postmark"})
        workspace.config = replace(workspace.config, outreach=outreach)
        with front(postmark.INTEGRATION, settings, here.store, here.clock) as hook:
            vendor.hooks = [f"{hook.url}/{SECRET}"]
            yield here, vendor
        vendor.stop()


def test_after_a_hard_bounce_nothing_more_goes_to_that_address(by_postmark: tuple[Business, PretendPostmark]) -> None:
    here, vendor = by_postmark
    contact_id = here.enter()
    here.go_live(contact_id)
    here.queue_mail(contact_id)
    here.turn(pulls=False)
    (mail,) = vendor.messages
    assert (mail.to, mail.stream) == ("ada@customer.example", "outbound")

    vendor.bounced(mail)
    vendor.deliver_hooks()
    here.clock.sleep(8 * DAY)
    second = here.queue_mail(contact_id, key="second")
    here.turn()

    assert here.effect(second)["state"] == "refused"
    assert here.refusals()[-1] == ("suppression", "it takes no messages any more")
    assert len(vendor.messages) == 1
    facts = here.store.rows("select kind, label, source from facts where kind = 'mail_bounced'")
    assert facts == [{"kind": "mail_bounced", "label": "hard", "source": "postmark"}]
