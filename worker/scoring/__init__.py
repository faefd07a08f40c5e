"""Station 2: facts as of a moment become measures, points, a score that explains itself, and a band."""
