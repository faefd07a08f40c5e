"""Station 5: scores and effects weighed against later facts."""
