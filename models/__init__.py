"""Model directories that come with edge-run: a contract, weights, golden vectors, a card."""
