"""What a person runs: train, evaluate, sweep and report; and the rooms that hold their parts."""
