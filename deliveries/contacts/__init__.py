"""The people of a tenant: how contacts come in and are kept. Not here: who may do that, and what is sent to them."""
