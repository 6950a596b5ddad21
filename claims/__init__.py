"""The ledger of claims: what the literature says of these losses, each tried by an experiment."""
