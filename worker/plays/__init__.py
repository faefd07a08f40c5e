"""Station 3: a change and the rules become effects, after one arbiter."""
