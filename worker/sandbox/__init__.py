"""Pretend vendors on loopback and a small world that lives in them: for the demo and the tests."""
