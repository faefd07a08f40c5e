"""The pretend vendors. They know their own specifications and nothing of Keepwell's shapes."""
