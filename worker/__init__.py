"""Keepwell: facts in, a health score that explains itself, the right act out.

The river, station by station:

intake      a request or a page becomes a delivery, sightings and facts, and it is known whose they are
scoring     facts as of a moment become measures, points, a score with drivers, and a band
plays       a change of band and the rules become effects, after one arbiter
dispatch    effects leave through the outbox: written to the CRM, mailed, told to the team
review      scores and effects weighed against who really left
web         the doors: hooks and API in, pages out
cli         every command, thin
sandbox     pretend vendors on loopback and a small world, for the demo and the tests
lib         what knows nothing of customers: store, http, clock, signing, files
sql         the migrations and the named queries
"""
