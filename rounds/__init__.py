"""Recurring training: a policy in service, and rounds that renew it.

In a round the policy in service writes groups; a judge says which responses are better (the task, a
simulated user, or people); an offline run trains on them; and its policy is deployed unless it
tests as worse on held-out prompts.

Begin with `deployment`, the folder from whose files all else follows, and `one_round`, a round from
its groups to its verdict. Its steps: `collecting` (with `simulated_user`, or `feedback_rows` for
what people chose), training (`training.run`), `staleness`, and the test `not_worse`.

One process at a time holds a folder (`training/records/hold.py`). The command is
experiments/rounds.py; `serving` shows people the answers to choose from.
"""
