"""Writes gfni_steps.h: 8 steps of the bit-sliced counting loop for 3 groups of pixels, as assembly.

    python native/kernels/gfni_steps.py native/kernels/gfni_steps.h

Compilers put the instructions of a step one after the other. On Zen 5 a vpternlogd with operands that are still to come
issues on two of the four pipes only, 2 a cycle, and vgf2p8affineqb on the other two. So the ternlogs of a step are
spread evenly between the affine products of the next one: a list schedule by the keys of `schedule`. In L1 this block
runs at 1250 MAC/cycle (without the upper planes), in the order of the dataflow at 1080 to 1120. A random search over
all legal orders, hill-climbing on measured times, gained 4 % on that.
"""

from __future__ import annotations

import heapq
import sys
from dataclasses import dataclass, field
from pathlib import Path

GROUPS = 3
STEPS = 8
DELAY = 24.0  # operations by which ternlogs trail the products: those of one step
EARLY = 10.0  # operations by which loads precede their first use
CARRY = 6.0  # operations by which a carry trails its sum

SUM, CARRY_TABLE, PAIR = 0x96, 0xB2, 0xD4  # truth tables, see gfni_count.h

PLANE = 64
COUNTER = 17 * PLANE  # kMaxPlanes


@dataclass
class Node:
    kind: str  # "offset", "load", "store", "broadcast", "product", "ternary"
    sources: list[int]
    address: str = ""
    table: int = 0
    carry: bool = False
    home: int = -1  # the register in which a state stays, updated in place
    after: list[int] = field(default_factory=list)  # who must come first because of memory or registers, not values


class Block:
    """The dataflow. A value is its node's index, or -1 - register for the states s2 and s4 as they come in."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.state = {(w, c): -1 - (GROUPS * k + c) for k, w in enumerate((2, 4)) for c in range(GROUPS)}
        self.readers: dict[tuple[int, int], list[int]] = {}
        self.stored: dict[int, int] = {}
        for bit, values in enumerate(self.eight()):
            for c, value in enumerate(values):
                self.add("store", [value], address=f"{PLANE * (GROUPS * bit + c)}(%[out])")

    def add(self, kind: str, sources: list[int], **more: object) -> int:
        self.nodes.append(Node(kind, sources, **more))  # type: ignore[arg-type]
        return len(self.nodes) - 1

    def step(self, index: int) -> tuple[list[int], list[int]]:
        """Bits of weight 2 and 4 of all groups."""
        offset = self.add("offset", [], address=f"{4 * index}(%[offset])")

        def weights(k: int) -> int:
            return self.add("load", [], address=f"{192 * index + 64 * k}(%[weights])")

        features = [self.add("broadcast", [offset], address=f"(%[base{c}],{{}})") for c in range(GROUPS)]
        w = weights(0)
        c1 = [self.add("product", [w, f]) for f in features]
        w = weights(1)
        c2 = [self.add("product", [w, f]) for f in features]
        w = weights(2)
        e2 = [self.add("product", [w, offset], address=f"(%[second{c}],{{}})") for c in range(GROUPS)]
        return e2, [self.add("ternary", [c1[c], c2[c], e2[c]], table=PAIR) for c in range(GROUPS)]

    def full_add(self, weight: int, a: list[int], b: list[int]) -> list[int]:
        """Adds to a plane in registers; returns the carries."""
        carries = []
        for c in range(GROUPS):
            key = (weight, c)
            s = self.add(
                "ternary",
                [self.state[key], a[c], b[c]],
                table=SUM,
                home=-1 - self.home(key),
                after=self.readers.get(key, []),
            )
            self.state[key] = s
        for c in range(GROUPS):
            carries.append(self.add("ternary", [a[c], self.state[weight, c], b[c]], table=CARRY_TABLE, carry=True))
            self.readers[weight, c] = [carries[c]]
        return carries

    def home(self, key: tuple[int, int]) -> int:
        return -1 - (GROUPS * (key[0] // 4) + key[1])

    def full_add_memory(self, plane: int, a: list[int], b: list[int]) -> list[int]:
        """The same for a plane of the counter in memory."""
        carries = []
        for c in range(GROUPS):
            address = f"{COUNTER * c + PLANE * plane}(%[counter])"
            old = self.add("load", [], address=address, after=[self.stored[c]] if c in self.stored else [])
            s = self.add("ternary", [old, a[c], b[c]], table=SUM)
            self.stored[c] = self.add("store", [s], address=address)
            carries.append(self.add("ternary", [a[c], s, b[c]], table=CARRY_TABLE, carry=True))
        return carries

    def four(self, first: int) -> list[list[int]]:
        p2, p4 = self.step(first)
        e2, e4 = self.step(first + 1)
        p2, p4 = self.full_add(2, p2, e2), self.full_add(4, p4, e4)
        q2, q4 = self.step(first + 2)
        e2, e4 = self.step(first + 3)
        q2, q4 = self.full_add(2, q2, e2), self.full_add(4, q4, e4)
        return [p4, q4, self.full_add(4, p2, q2)]

    def eight(self) -> list[list[int]]:
        a = self.four(0)
        c0 = self.full_add_memory(3, a[0], a[1])
        b = self.four(4)
        return [c0, self.full_add_memory(3, a[2], b[0]), self.full_add_memory(3, b[1], b[2])]


def schedule(nodes: list[Node]) -> list[int]:
    """Topological order by keys: products and ternlogs each spread over the block, loads before their users."""
    products = [i for i, n in enumerate(nodes) if n.kind == "product"]
    ternaries = [i for i, n in enumerate(nodes) if n.kind == "ternary"]
    all_of = len(products) + len(ternaries)
    key = [0.0] * len(nodes)
    for k, i in enumerate(products):
        key[i] = k * all_of / len(products)
    for k, i in enumerate(ternaries):
        key[i] = k * all_of / len(ternaries) + DELAY + (CARRY if nodes[i].carry else 0)
    users: list[list[int]] = [[] for _ in nodes]
    for i, n in enumerate(nodes):
        for s in n.sources:
            if s >= 0:
                users[s].append(i)
    for i in reversed(range(len(nodes))):
        if nodes[i].kind == "store":
            key[i] = key[nodes[i].sources[0]] + 4
        elif nodes[i].kind not in ("product", "ternary"):
            key[i] = min(key[u] for u in users[i]) - EARLY
    before = [{s for s in n.sources if s >= 0} | set(n.after) for n in nodes]
    after: list[list[int]] = [[] for _ in nodes]
    for i, those in enumerate(before):
        for s in those:
            after[s].append(i)
    missing = [len(those) for those in before]
    ready = [(key[i], -i) for i in range(len(nodes)) if missing[i] == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        i = -heapq.heappop(ready)[1]
        order.append(i)
        for u in after[i]:
            missing[u] -= 1
            if missing[u] == 0:
                heapq.heappush(ready, (key[u], -u))
    return order


def assemble(nodes: list[Node], order: list[int]) -> list[str]:
    """Registers by a linear scan; fails where 32 are too few."""
    last = {s: place for place, i in enumerate(order) for s in nodes[i].sources}
    free = list(range(31, 2 * GROUPS - 1, -1))
    register: dict[int, int] = {-1 - r: r for r in range(2 * GROUPS)}
    owned: set[int] = set()
    index_until = {"%[at0]": -1, "%[at1]": -1}
    index: dict[int, str] = {}
    lines = []
    for place, i in enumerate(order):
        n = nodes[i]

        def release(s: int, place: int = place) -> None:
            if s in owned and last[s] == place:
                owned.remove(s)
                free.append(register[s])

        if n.kind == "offset":
            index[i] = next(name for name, until in index_until.items() if until < place)
            index_until[index[i]] = last[i]
            lines.append(f"movslq {n.address}, {index[i]}")
            continue
        address = n.address
        if n.sources and n.sources[-1] in index:
            address = address.format(index[n.sources[-1]])
        sources = [s for s in n.sources if s not in index]
        if n.kind == "ternary":
            k = 0 if n.home >= 0 else next(k for k, s in enumerate(sources) if s in owned and last[s] == place)
            table = n.table if k == 0 else permuted(n.table, k)
            to, x, y = (register[sources[(k + j) % 3]] for j in range(3))
            lines.append(f"vpternlogd ${table:#04x}, %%zmm{y}, %%zmm{x}, %%zmm{to}")
            register[i] = to
            if n.home < 0:
                owned.remove(sources[k])
                owned.add(i)
            for j, s in enumerate(sources):
                if j != k:
                    release(s)
            continue
        for s in sources:
            release(s)
        if n.kind == "store":
            lines.append(f"vmovdqa64 %%zmm{register[sources[0]]}, {address}")
            continue
        register[i] = to = free.pop()
        owned.add(i)
        if n.kind == "load":
            lines.append(f"vmovdqa64 {address}, %%zmm{to}")
        elif n.kind == "broadcast":
            lines.append(f"vpbroadcastq {address}, %%zmm{to}")
        elif address:
            lines.append(f"vgf2p8affineqb $0, {address}%{{1to8%}}, %%zmm{register[sources[0]]}, %%zmm{to}")
        else:
            lines.append(f"vgf2p8affineqb $0, %%zmm{register[sources[1]]}, %%zmm{register[sources[0]]}, %%zmm{to}")
    return lines


def permuted(table: int, first: int) -> int:
    """The table for operands rotated so that operand `first` comes first."""
    result = 0
    for i in range(8):
        rotated = [i >> 2 & 1, i >> 1 & 1, i & 1]  # values of operands first, first + 1, first + 2
        value = [0, 0, 0]
        for j in range(3):
            value[(first + j) % 3] = rotated[j]
        result |= (table >> (value[0] << 2 | value[1] << 1 | value[2]) & 1) << i
    return result


def text() -> str:
    """The header: strings, to be included where an asm statement begins."""
    block = Block()
    lines = assemble(block.nodes, schedule(block.nodes))
    states = [(COUNTER * c + PLANE * (k + 1), GROUPS * k + c) for k in range(2) for c in range(GROUPS)]
    code = [f"vmovdqa64 {at}(%[counter]), %%zmm{r}" for at, r in states]
    code += [".p2align 6", "1:", *lines]
    code += [f"add ${192 * STEPS}, %[weights]", f"add ${4 * STEPS}, %[offset]", f"add ${3 * GROUPS * PLANE}, %[out]"]
    code += ["dec %[count]", "jnz 1b"]
    code += [f"vmovdqa64 %%zmm{r}, {at}(%[counter])" for at, r in states]
    head = [
        f"Written by gfni_steps.py, which says why: blocks of {STEPS} steps for {GROUPS} groups. Planes 1 and 2 of the",
        "counters are in registers meanwhile, plane 3 in memory; each block leaves 3 bits of weight 16 for each group",
        "at out[bit][group].",
    ]
    return "".join(f"// {line}\n" for line in head) + "".join(f'"{line}\\n\\t"\n' for line in code)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text())
