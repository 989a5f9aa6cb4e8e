"""CI-BCNN's search for the graph of channels: a recurrent policy, taught by REINFORCE, edits the edges of a layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.outputs.interaction import Interaction

CREATE, DELETE, KEEP, STOP = range(4)
FACTS = 4  # of a channel, see `channel_facts`
Edge = tuple[int, int, int]
Evaluate = Callable[[nn.Module], float]


@dataclass
class SearchResult:
    """What `search_interactions` found.

    Attributes:
        edges: name of the layer -> (from, to, K), what `cibcnn`'s option `edges` takes; the layers have them already.
        losses: before the search and after every round.
        rewards: of every proposal, in order.
    """

    edges: dict[str, list[Edge]]
    losses: list[float]
    rewards: list[float] = field(default_factory=list)


def loss_reward(before: float, after: float, threshold: float) -> float:
    """+1 where the loss fell by more than `threshold`, -1 where it rose by more, else 0 (NaN: -1)."""
    if math.isnan(after) or after > before + threshold:
        return -1.0
    return 1.0 if after < before - threshold else 0.0


def information_reward(strength: Tensor, influence: Tensor) -> float:
    """Mean over the edges t -> s of `sign(|p_t| - |p_s|)`: a teacher shall know more than its student; 0 without edges.

    Args:
        strength: mean |p| of every channel, `[C]`.
        influence: `[to, from]`, 0 without an edge.
    """
    s, t = influence.nonzero(as_tuple=True)
    return float(torch.sign(strength[t] - strength[s]).mean()) if len(s) else 0.0


def channel_facts(sums: Tensor, influence: Tensor, fan_in: int) -> Tensor:
    """What the policy sees of a layer, `[C, 4]`: mean |p| / n, mean p / n, and the shares of channels that a channel
    teaches and learns from.

    Args:
        sums: p, `[C, values]`.
        influence: `[to, from]`.
        fan_in: n, weights of a filter.
    """
    edges, c = (influence != 0).to(sums.dtype), max(1, len(influence))
    return torch.stack([sums.abs().mean(1) / fan_in, sums.mean(1) / fan_in, edges.sum(0) / c, edges.sum(1) / c], 1)


class InteractionPolicy(nn.Module):
    """Encoder and decoder: a GRU reads the channels; a GRU cell then writes actions until it stops.

    An action is to create an edge, to delete one, to keep the graph, or to stop. Channels are pointed at by the product
    of their encoding and a query; a new edge's influence is `tanh` of a normal variable, cut to steps by
    `Interaction.degree`. The paper (CVPR 2019, paper read) says encoder, decoder, states and actions; sizes, pointers
    and the distribution of the influence are ours.

    Args:
        hidden: width of both.
        deviation: of the normal variable.
    """

    def __init__(self, hidden: int = 32, deviation: float = 0.5) -> None:
        super().__init__()
        if hidden < 1 or not deviation > 0:
            raise ValueError(f"need hidden >= 1 and deviation > 0, got {hidden} and {deviation}")
        self.hidden, self.deviation = hidden, float(deviation)
        self.encoder = nn.GRU(FACTS, hidden, batch_first=True)
        self.decoder = nn.GRUCell(hidden, hidden)
        self.names = nn.Embedding(4, hidden)
        self.kind = nn.Linear(hidden, 4)
        self.source = nn.Linear(hidden, hidden)
        self.target = nn.Linear(2 * hidden, hidden)
        self.weight = nn.Linear(3 * hidden, 1)

    def propose(
        self, facts: Tensor, rule: Interaction, limit: int, actions: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, list[tuple[int, int, int, float]]]:
        """Draws actions.

        Args:
            facts: `channel_facts`.
            rule: the layer's graph and its steps; not changed.
            limit: edges that the graph may have.
            actions: at most so many.
            generator: of the random numbers, on the CPU.

        Returns:
            The new influences `[to, from]`, the logarithm of the probability (density) of what was drawn (a scalar with
            gradient), and the actions: (kind, from, to, weight), -1 and 0 where there is none.
        """
        graph = rule.influence.detach().cpu().clone()
        encoded, last = self.encoder(facts.unsqueeze(0))
        encoded, state = encoded[0], last[0]
        taken: list[tuple[int, int, int, float]] = []
        terms: list[Tensor] = []
        given = self.names(torch.tensor([STOP]))  # nothing was done yet
        for _ in range(actions):
            state = self.decoder(given, state)
            edges = graph != 0
            free = ~edges & ~torch.eye(len(graph), dtype=torch.bool)
            may_create = int(edges.sum()) < limit and bool(free.any())
            allowed = torch.tensor([may_create, bool(edges.any()), True, True])
            kind, term = _draw(self.kind(state)[0], allowed, generator)
            terms.append(term)
            source, target, weight = -1, -1, 0.0
            given = self.names(torch.tensor([kind]))
            if kind in (CREATE, DELETE):
                pairs = (free if kind == CREATE else edges).T  # [from, to]
                source, term = _draw(encoded @ self.source(state)[0], pairs.any(1), generator)
                terms.append(term)
                seen = torch.cat([state, encoded[source : source + 1]], 1)
                target, term = _draw(encoded @ self.target(seen)[0], pairs[source], generator)
                terms.append(term)
                given = given + encoded[source] + encoded[target]
                if kind == CREATE:
                    mean = self.weight(torch.cat([seen, encoded[target : target + 1]], 1))[0, 0]
                    noise = torch.randn((), generator=generator)
                    drawn = (mean + self.deviation * noise).detach()
                    terms.append(-((drawn - mean) ** 2) / (2 * self.deviation**2) - _normalizer(self.deviation))
                    weight = float(torch.tanh(drawn))
                    graph[target, source] = rule.degree(weight)
                else:
                    graph[target, source] = 0
            taken.append((kind, source, target, weight))
            if kind == STOP:
                break
        return graph.to(rule.influence), torch.stack(terms).sum(), taken


def _normalizer(deviation: float) -> float:
    return math.log(deviation * math.sqrt(2 * math.pi))


def _draw(scores: Tensor, allowed: Tensor, generator: torch.Generator) -> tuple[int, Tensor]:
    """(index, logarithm of its probability) of the softmax over what is allowed."""
    logs = F.log_softmax(scores.masked_fill(~allowed, -math.inf), 0)
    index = int(torch.multinomial(logs.detach().exp(), 1, generator=generator))
    return index, logs[index]


class Reinforce:
    """Teaches a policy: one step of Adam down `-(reward - baseline) log p`, the baseline a running mean of rewards.

    Args:
        policy: whose parameters move.
        lr: of Adam.
        memory: what the baseline keeps of itself in a step.
    """

    def __init__(self, policy: nn.Module, lr: float = 1e-3, memory: float = 0.9) -> None:
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
        self.memory = memory
        self.baseline: float | None = None

    def learn(self, reward: float, log_probability: Tensor) -> None:
        """One step. The first reward is the first baseline."""
        old = reward if self.baseline is None else self.baseline
        self.baseline = self.memory * old + (1 - self.memory) * reward
        self.optimizer.zero_grad()
        (-(reward - old) * log_probability).backward()
        self.optimizer.step()


def interactions(model: nn.Module) -> dict[str, Interaction]:
    """The interaction rules of a model, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, Interaction)}


def batch_loss(x: Tensor, labels: Tensor) -> Evaluate:
    """A function that gives a model's cross-entropy on a batch, in training mode (batch norm follows the corrected
    sums), without gradient; buffers and modes are as before afterwards.
    """

    def evaluate(model: nn.Module) -> float:
        modes = {m: m.training for m in model.modules()}
        saved = [(b, b.clone()) for b in model.buffers()]
        try:
            model.train()
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # the same dropout for every graph
                return float(F.cross_entropy(model(x), labels))
        finally:
            for module, mode in modes.items():
                module.training = mode
            for buffer, value in saved:
                buffer.copy_(value)

    return evaluate


def search_interactions(
    model: nn.Module,
    evaluate: Evaluate,
    *,
    rounds: int = 20,
    actions: int = 8,
    density: float = 0.1,
    threshold: float = 3e-3,
    lr: float = 1e-3,
    train: Callable[[nn.Module], object] | None = None,
    policy: InteractionPolicy | None = None,
    seed: int = 0,
) -> SearchResult:
    """Searches the graphs of all `cibcnn` layers of a model, in place.

    In every round, and in it for every layer, the policy proposes edits; the reward is `loss_reward` of the model with
    the new graph plus `information_reward`; the policy descends `-(reward - baseline) log p`, the baseline a running
    mean. A graph with a higher loss is undone (ours: the paper's graph just goes on). Build the layers with `edges=[]`
    to start from nothing.

    **Experimental**: keeping only graphs that are not worse never raises the loss, but in our runs of whole searches
    the policy's rewards did not rise reliably: take the result as that of a guided random search. The pieces (policy,
    rewards, REINFORCE step) are tested against float64 numpy.

    CI-BCNN, CVPR 2019 (paper read; reward, actions and density; the rest ours). The threshold is the demo code's.

    Args:
        model: with layers of method `cibcnn`.
        evaluate: gives the model's loss, such as `batch_loss(x, labels)`; called once a proposal and once a round. The
            layers' sums are watched during the call.
        rounds: of proposals.
        actions: at most so many for a proposal.
        density: edges of a layer, as a share of all pairs of channels.
        threshold: change of the loss that counts.
        lr: the policy's, with Adam.
        train: called with the model after each round, to train its weights in between.
        policy: default: a new `InteractionPolicy`.
        seed: of the policy's numbers.

    Raises:
        ValueError: no such layers, or a number out of range.
    """
    rules = interactions(model)
    if not rules:
        raise ValueError("the model has no layer with interactions; build it with method='cibcnn'")
    if rounds < 1 or actions < 1 or not 0 < density <= 1 or threshold < 0:
        raise ValueError(
            f"need rounds >= 1, actions >= 1, 0 < density <= 1 and threshold >= 0, got {rounds}, {actions}, {density}, "
            f"{threshold}"
        )
    generator = torch.Generator().manual_seed(seed)
    if policy is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = InteractionPolicy()
    teacher = Reinforce(policy, lr)
    loss, sums = _watched(model, rules, evaluate)
    result = SearchResult({}, [loss])
    for _ in range(rounds):
        for name, rule in rules.items():
            limit = int(density * rule.influence.numel())
            facts = channel_facts(sums[name], rule.influence.cpu(), rule.shape.fan_in)
            graph, log_probability, _ = policy.propose(facts, rule, limit, actions, generator)
            old = rule.influence.clone()
            rule.influence.copy_(graph)
            after, new_sums = _watched(model, rules, evaluate)
            strength = new_sums[name].abs().mean(1)
            reward = loss_reward(loss, after, threshold) + information_reward(strength, graph.cpu())
            result.rewards.append(reward)
            teacher.learn(reward, log_probability)
            if after <= loss:
                loss, sums = after, new_sums
            else:
                rule.influence.copy_(old)
        if train is not None:
            train(model)
            loss, sums = _watched(model, rules, evaluate)
        result.losses.append(loss)
    for name, rule in rules.items():
        places = rule.influence.nonzero().tolist()
        result.edges[name.removesuffix("output").removesuffix(".")] = [
            (s, t, int(rule.influence[t, s])) for t, s in places
        ]
    return result


def _watched(model: nn.Module, rules: dict[str, Interaction], evaluate: Evaluate) -> tuple[float, dict[str, Tensor]]:
    """(the loss, every layer's uncorrected sums `[C, values]` of the last pass)."""
    sums: dict[str, Tensor] = {}

    def keep(name: str, rule: Interaction) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            p = args[0].detach().float().movedim(rule.shape.channel_dim, 0)
            sums[name] = p.reshape(len(p), -1).cpu()

        return hook

    handles = [rule.register_forward_pre_hook(keep(name, rule)) for name, rule in rules.items()]
    try:
        loss = float(evaluate(model))
    finally:
        for handle in handles:
            handle.remove()
    missed = sorted(set(rules) - set(sums))
    if missed:
        raise ValueError(f"evaluate never ran {', '.join(missed)}")
    return loss, sums
