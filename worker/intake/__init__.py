"""Station 1: a request or a page becomes a delivery, sightings and facts, and it is known whose they are."""
