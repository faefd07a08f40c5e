"""Station 4: effects leave through the outbox: to the CRM, by mail, to the team."""
