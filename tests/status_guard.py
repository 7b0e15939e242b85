"""Find code that writes `Delivery.status`. Only `deliveries/lifecycle/` may, and tests/unit/test_house.py holds it to that.

Reads source text and runs nothing. Knows three ways to write: the ORM, an assignment, and SQL in a string.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from deliveries.channels import Status

WRITING_METHODS = frozenset(
    {"create", "acreate", "bulk_create", "abulk_create", "update", "aupdate", "bulk_update", "abulk_update"}
    | {"get_or_create", "aget_or_create", "update_or_create", "aupdate_or_create"}
)
# A table name that is put into the text later counts as the table of deliveries: nobody can tell from here that it isn't.
TABLE = r"(?:\"?notification_delivery\b|\{\}|%s)"
SQL_INSERT = re.compile(rf"\b(?:INSERT\s+INTO|MERGE\s+INTO|COPY)\s+{TABLE}", re.IGNORECASE)
SQL_UPDATE = re.compile(rf"\bUPDATE\s+(?:ONLY\s+)?{TABLE}(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
# `status` where something is assigned to it: after SET or a comma, alone or in a list, or hidden in what is put in later.
SQL_SET_STATUS = re.compile(r"(?:\bSET|,)\s*(?:\w+\.)?(?:\"?status\"?\s*=|\{\}|%s|\([^)]*\bstatus\b)", re.IGNORECASE)


def find_status_writes(source: str) -> list[tuple[int, str]]:
    """Return line and text of each place in `source` that writes the status of a delivery, or may do so."""
    found = {(node.lineno, ast.unparse(node)) for node in _offenders(ast.parse(source))}
    return sorted(found)


def _offenders(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(tree):
        match node:
            case ast.Call() if _is_orm_write(node) or _is_setattr(node):
                yield node
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign() if _assigns_status(node):
                yield node
            case ast.Constant(value=str()) | ast.JoinedStr() if _is_sql_write(_text(node)):
                yield node


def _is_orm_write(call: ast.Call) -> bool:
    """A write by `Delivery…`, or by a query of unknown model that names `status`."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "Delivery" and _names_status(call)
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in WRITING_METHODS:
        return False
    root = _root(call.func)
    if root == "Delivery":
        return call.func.attr in {"create", "acreate", "bulk_create", "abulk_create"} or _names_status(call)
    return _names_status(call) and not root[:1].isupper()


def _names_status(call: ast.Call) -> bool:
    """Says `status=…`, passes `**something` that may hold it, or lists "status" among fields."""
    return any(keyword.arg in {"status", None} for keyword in call.keywords) or any(
        isinstance(node, ast.Constant) and node.value == "status"
        for argument in ast.iter_child_nodes(call)
        for node in ast.walk(argument)
    )


def _is_setattr(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Name)
        and call.func.id == "setattr"
        and len(call.args) == 3
        and isinstance(call.args[1], ast.Constant)
        and call.args[1].value == "status"
    )


def _assigns_status(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> bool:
    """Assign to `.status` of something called a delivery, or a delivery's status to `.status` of anything."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return node.value is not None and any(
        isinstance(target, ast.Attribute)
        and target.attr == "status"
        and ("delivery" in ast.unparse(target.value).lower() or _is_delivery_status(node.value))
        for target in targets
    )


def _is_sql_write(text: str) -> bool:
    """Insert a row, or update its status. An update of other columns is not this guard's business."""
    update = SQL_UPDATE.search(text)
    return bool(SQL_INSERT.search(text) or (update and SQL_SET_STATUS.search(update["rest"])))


def _is_delivery_status(value: ast.expr) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Status")
        or (isinstance(node, ast.Constant) and node.value in set(Status))
        for node in ast.walk(value)
    )


def _root(node: ast.expr) -> str:
    """Return the first name of a chain such as `Delivery.objects.filter(…).update`."""
    while True:
        match node:
            case (
                ast.Attribute(value=inner) | ast.Call(func=inner) | ast.Subscript(value=inner) | ast.Await(value=inner)
            ):
                node = inner
            case ast.Name(id=name):
                return name
            case _:
                return ""


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
