"""Recurring training: a policy in service, and the rounds that renew it."""
