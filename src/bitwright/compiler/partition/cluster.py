"""Groups nodes into parts that can run one after the other.

Parts alternate between the two runtimes: each takes every node of its runtime whose inputs are there. So the order is
acyclic, and no order has fewer changes of the runtime. A native group falls into its connected components, so that two
branches that share nothing can be judged and fail apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .classify import NATIVE, ORT


@dataclass(frozen=True)
class Group:
    """Nodes (their indices, in order) that run together."""

    place: str
    nodes: tuple[int, ...]


def group(place: Sequence[str], needs: Sequence[set[int]], shared: Sequence[set[str]]) -> list[Group]:
    """Groups in an order in which they can run.

    Args:
        place: NATIVE or ORT for the nodes that belong to groups; other nodes belong to none.
        needs: of each node, the nodes (of those that belong to groups) that it needs results of.
        shared: of each node, the activations that it reads or writes: native nodes with a common one stay together.
    """
    ways = [_alternate(place, needs, first) for first in (NATIVE, ORT)]
    best = min(ways, key=len)
    groups: list[Group] = []
    for found in best:
        groups += [found] if found.place == ORT else _components(found, shared)
    return groups


def _alternate(place: Sequence[str], needs: Sequence[set[int]], first: str) -> list[Group]:
    left = [i for i, p in enumerate(place) if p in (NATIVE, ORT)]
    done: set[int] = set()
    groups: list[Group] = []
    current = first
    while left:
        taken: list[int] = []
        rest: list[int] = []
        for i in left:
            if place[i] == current and needs[i] <= done:
                taken.append(i)
                done.add(i)
            else:
                rest.append(i)
        if taken:
            groups.append(Group(current, tuple(taken)))
        left = rest
        current = ORT if current == NATIVE else NATIVE
    return groups


def _components(found: Group, shared: Sequence[set[str]]) -> list[Group]:
    parent = {i: i for i in found.nodes}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    owner: dict[str, int] = {}
    for i in found.nodes:
        for name in shared[i]:
            parent[root(i)] = root(owner.setdefault(name, i))
    members: dict[int, list[int]] = {}
    for i in found.nodes:
        members.setdefault(root(i), []).append(i)
    return [Group(found.place, tuple(nodes)) for nodes in sorted(members.values())]


__all__ = ["Group", "group"]
