"""The REST API: a view parses, calls one service and words the answer. No SQL of the state machine, no rule on jobs.

urls.py            every address under /api/
authentication.py  who is calling: an API key or a member of staff
end_user.py        who is calling: a person, by their JWT
callers.py         what that means for rows: whose are visible, who did it
keys.py            making, checking and revoking API keys
permissions.py     what a caller may do
parsers.py         request bytes → data, strictly
renderers.py       data → JSON
errors.py          one shape for everything that goes wrong
paging.py          keyset pages and query parameters
fields.py          serializer fields as strict as the wire format
intake.py          jobs → ingest, and what became of each
forecast.py        what would become of jobs
documentation.py   what OpenAPI says of all operations alike
jobs.py deliveries.py templates.py contacts.py devices.py preferences.py callbacks.py schemas.py   the views
"""
