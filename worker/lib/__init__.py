"""What knows nothing of customers: store, http, clock, files, numbers."""
