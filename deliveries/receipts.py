"""Counting what came in, apart from the rows, so that the balance can fail. The only writer of Receipt."""

from __future__ import annotations

from typing import Final

from django.db import connection

RECEIPT: Final = """
INSERT INTO deliveries_receipt (tenant_id, entrance, hour, accepted, duplicates, conflicts)
VALUES (%s, %s, date_trunc('hour', transaction_timestamp()), %s, %s, %s)
ON CONFLICT (tenant_id, entrance, hour) DO UPDATE SET accepted = deliveries_receipt.accepted + excluded.accepted,
    duplicates = deliveries_receipt.duplicates + excluded.duplicates, conflicts = deliveries_receipt.conflicts + excluded.conflicts
"""


def receipt_add(*, tenant_id: int, entrance: str, accepted: int, duplicates: int = 0, conflicts: int = 0) -> None:
    """Count what an entrance took in this hour. Call it in the transaction that stores the rows, and never with a count of them."""
    with connection.cursor() as cursor:
        cursor.execute(RECEIPT, [tenant_id, entrance, accepted, duplicates, conflicts])
