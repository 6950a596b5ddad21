"""Who may use a server of ours, and where it listens; it knows nothing of what is served.

`listening` has the flags and the server itself, `guards` the wall around an app, `deadlines` how
long a client is waited for.
"""
