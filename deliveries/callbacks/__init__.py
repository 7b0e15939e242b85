"""What providers tell us after they took a message: who may say so, and what it means. Pure; one module a provider.

`verify(...)` says whether the request is the provider's, `read(...)` what it reports. Rows and views know nothing of it here.
"""
