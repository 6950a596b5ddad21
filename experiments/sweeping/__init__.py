"""Many runs: what to do (`plan`), in which processes (`workers`), how it goes (`live_table`)."""
