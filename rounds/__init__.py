"""Recurring training: a policy in service, people who judge it, rounds that renew it."""
