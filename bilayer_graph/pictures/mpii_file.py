"""MPII's annotations, in the JSON that HRNet and MMPose train on: one person an entry."""

from typing import Any

from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.json_file import objects
from bilayer_graph.pictures.person_rows import Row, with_scores
from bilayer_graph.pictures.picture_index import Picture

FIELDS = frozenset({"image", "joints", "joints_vis"})

_ORDERS = (JOINT_ORDERS["mpii"],)


def read_mpii(content: Any) -> tuple[list[Picture], list[Row]] | None:
    """Return the pictures and their people, and the people of no picture; None if it is none.

    Args:
        content: The parsed JSON.
    """
    if not any("joints_vis" in entry for entry in objects(content)):
        return None
    pictures: dict[str, Picture] = {}
    loose: list[Row] = []
    for entry in objects(content):
        name = entry.get("image")
        rows = loose
        if isinstance(name, str) and name:
            rows = pictures.setdefault(name, Picture(name)).rows
        rows.append(_row(entry))
    return list(pictures.values()), loose


def _row(entry: dict[str, Any]) -> Row:
    triples = with_scores(entry.get("joints"), entry.get("joints_vis"))
    return Row(_from_zero(triples), _ORDERS, named=True)


def _from_zero(triples: Any) -> Any:
    """Count places from 0; MPII counts the first pixel as 1."""
    try:
        return [[x - 1, y - 1, seen] for x, y, seen in triples]
    except (TypeError, ValueError):
        return triples
