"""One file a channel: how a rendered message leaves the house. No ORM, no retry, no status, no settings."""
