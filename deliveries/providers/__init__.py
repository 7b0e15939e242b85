"""Providers: who a tenant's messages of one channel are handed to, in which order, how fast, and what happens when one is broken.

`kinds` says what can be configured, `credentials` keeps secrets, `breaker` and `shared` decide who may be used now, `chain` sends,
`roster` follows the table, `steering` and `states` are what staff do and see.
Nothing here writes a delivery's status, retries, or renders.
"""
