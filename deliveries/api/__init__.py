"""The REST API: a view parses, calls one service and words the answer. No SQL of the state machine, no rule on jobs.

urls.py            every address under /api/
authentication.py  who is calling: an API key or a member of staff
keys.py            making, checking and revoking API keys
permissions.py     what a caller may do
parsers.py         request bytes → data, strictly
renderers.py       data → JSON
errors.py          one shape for everything that goes wrong
paging.py          keyset pages
documentation.py   what OpenAPI says of all operations alike
jobs.py deliveries.py templates.py contacts.py schemas.py   the views
"""
