"""The doors: hooks and API in, pages out."""
