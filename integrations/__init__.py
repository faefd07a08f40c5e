"""One file per outside service; the registry finds them by looking here."""
