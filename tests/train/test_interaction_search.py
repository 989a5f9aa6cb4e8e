"""CI-BCNN's search: rewards and the policy's probabilities against float64 numpy, and what a search finds."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from bitwright import models
from bitwright.binarize import get_method
from bitwright.nn import BinaryConv2d, BinaryLinear
from bitwright.train import InteractionPolicy, batch_loss, search_interactions
from bitwright.train.interaction_search import (
    CREATE,
    DELETE,
    KEEP,
    STOP,
    Reinforce,
    channel_facts,
    information_reward,
    interactions,
    loss_reward,
)

Array = NDArray[np.float64]


def test_rewards() -> None:
    assert [loss_reward(1.0, v, 0.1) for v in (0.8, 0.95, 1.05, 1.2, float("nan"))] == [1, 0, 0, -1, -1]
    rng = np.random.default_rng(0)
    strength = rng.uniform(0, 5, 6)
    strength[2] = strength[3]
    influence = np.zeros((6, 6))
    edges = [(0, 1, 3), (2, 3, -5), (4, 0, 3), (5, 2, 5), (1, 5, -3)]
    for source, target, k in edges:
        influence[target, source] = k
    wanted = np.mean([np.sign(strength[s] - strength[t]) for s, t, _ in edges])
    assert information_reward(torch.from_numpy(strength), torch.from_numpy(influence)) == pytest.approx(wanted)
    assert information_reward(torch.from_numpy(strength), torch.zeros(6, 6)) == 0
    p = rng.normal(size=(6, 40)) * 9
    facts = channel_facts(torch.from_numpy(p), torch.from_numpy(influence), 27)
    out, into = np.zeros(6), np.zeros(6)
    for source, target, _ in edges:
        out[source] += 1 / 6
        into[target] += 1 / 6
    columns = [np.abs(p).mean(1) / 27, p.mean(1) / 27, out, into]
    np.testing.assert_allclose(facts, np.stack(columns, 1), rtol=1e-12)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gru(x: Array, h: Array, w: Any, prefix: str, end: str) -> Array:
    """One step, as torch documents it."""
    a = w[f"{prefix}.weight_ih{end}"] @ x + w[f"{prefix}.bias_ih{end}"]
    b = w[f"{prefix}.weight_hh{end}"] @ h + w[f"{prefix}.bias_hh{end}"]
    n = len(h)
    r, z = sigmoid(a[:n] + b[:n]), sigmoid(a[n : 2 * n] + b[n : 2 * n])
    return (1 - z) * np.tanh(a[2 * n :] + r * b[2 * n :]) + z * h


def log_probability(
    policy: InteractionPolicy, facts: Array, rule: Any, limit: int, taken: list[tuple[int, int, int, float]]
) -> float:
    """Of the actions, action by action."""
    w = {name: value.double().numpy() for name, value in policy.state_dict().items()}
    graph = rule.influence.numpy().copy()
    h, encoded = np.zeros(policy.hidden), []
    for row in facts:
        h = gru(row, h, w, "encoder", "_l0")
        encoded.append(h)
    e, given, total = np.stack(encoded), w["names.weight"][STOP], 0.0

    def pick(scores: Array, allowed: Array, index: int) -> float:
        assert allowed[index]
        return float(scores[index] - np.log(np.exp(scores[allowed]).sum()))

    def dense(name: str, x: Array) -> Array:
        result: Array = w[f"{name}.weight"] @ x + w[f"{name}.bias"]
        return result

    for kind, source, target, weight in taken:
        h = gru(given, h, w, "decoder", "")
        edges = graph != 0
        free = ~edges & ~np.eye(len(graph), dtype=bool)
        allowed = np.array([edges.sum() < limit and free.any(), edges.any(), True, True])
        total += pick(dense("kind", h), allowed, kind)
        given = w["names.weight"][kind]
        if kind in (CREATE, DELETE):
            pairs = (free if kind == CREATE else edges).T
            total += pick(e @ dense("source", h), pairs.any(1), source)
            seen = np.concatenate([h, e[source]])
            total += pick(e @ dense("target", seen), pairs[source], target)
            given = given + e[source] + e[target]
            graph[target, source] = 0
            if kind == CREATE:
                mean, drawn = dense("weight", np.concatenate([seen, e[target]]))[0], np.arctanh(weight)
                total += -((drawn - mean) ** 2) / (2 * policy.deviation**2)
                total -= np.log(policy.deviation * np.sqrt(2 * np.pi))
                graph[target, source] = np.sign(weight) * (2 * np.ceil(rule.steps * abs(weight)) + 1)
    return total


def test_probabilities_of_the_policy() -> None:
    torch.manual_seed(1)
    layer = BinaryLinear(30, 6, method="cibcnn", edges=[(0, 1, 3), (2, 5, -5)])
    rule: Any = layer.output
    policy = InteractionPolicy(hidden=8).double()
    for p in policy.parameters():
        nn.init.normal_(p, 0, 0.6)
    generator = torch.Generator().manual_seed(0)
    facts = channel_facts(torch.randn(6, 50).double() * 5, rule.influence.double(), 30)
    kinds = set()
    for _ in range(60):
        graph, got, taken = policy.propose(facts, rule, 5, 6, generator)
        assert got.item() == pytest.approx(log_probability(policy, facts.numpy(), rule, 5, taken), rel=1e-6)
        assert int((graph != 0).sum()) <= 5
        assert not bool(graph.diagonal().any())
        rule.set_edges([(s, t, int(graph[t, s])) for t, s in graph.nonzero().tolist()])  # refuses impossible edges
        rule.set_edges([(0, 1, 3), (2, 5, -5)])
        kinds |= {kind for kind, *_ in taken}
    assert kinds == {CREATE, DELETE, KEEP, STOP}


def rigged(model: nn.Module) -> float:
    """The loss falls with every edge from channel 0."""
    model(torch.ones(4, 20))
    rule: Any = model.output
    return 5 - float((rule.influence[:, 0] != 0).sum())


def test_finds_the_edges_that_lower_the_loss() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(20, 6, method="cibcnn", edges=[])
    twin = copy.deepcopy(layer)
    result = search_interactions(layer, rigged, rounds=100, actions=3, density=0.3, seed=4)
    assert result.losses[0] == 5
    assert all(b <= a for a, b in zip(result.losses, result.losses[1:], strict=False))
    assert result.losses[-1] == 0  # all five edges from channel 0
    assert {t for s, t, _ in result.edges[""] if s == 0} == {1, 2, 3, 4, 5}
    assert len(result.edges[""]) <= 10
    assert search_interactions(twin, rigged, rounds=100, actions=3, density=0.3, seed=4) == result
    get_method("cibcnn", edges=result.edges[""])


@pytest.mark.parametrize("seed", range(3))
def test_the_policy_learns_what_pays(seed: int) -> None:
    """One action on an empty graph, over and over: an edge pays where its teacher knows more."""
    torch.manual_seed(seed)
    rule: Any = BinaryLinear(20, 6, method="cibcnn", edges=[]).output
    sums = torch.randn(6, 50) * torch.tensor([1.0, 9, 3, 7, 2, 5]).unsqueeze(1)
    facts, policy = channel_facts(sums, rule.influence, 20), InteractionPolicy()
    teacher, generator = Reinforce(policy, 3e-3), torch.Generator().manual_seed(seed)
    rewards = []
    for _ in range(400):
        graph, log_p, _ = policy.propose(facts, rule, 4, 1, generator)
        rewards.append(information_reward(sums.abs().mean(1), graph))
        teacher.learn(rewards[-1], log_p)
    assert np.mean(rewards[:40]) < 0.5
    assert np.mean(rewards[-40:]) > 0.9


def test_a_step_of_reinforce() -> None:
    rng = np.random.default_rng(0)
    scores, theta = rng.normal(size=5), rng.normal(size=5)
    policy = nn.ParameterList([nn.Parameter(torch.from_numpy(theta.copy()))])
    teacher = Reinforce(policy, memory=0.8)
    gradients, wanted, baseline = [], [], None
    for reward, index in ((0.5, 1), (2.0, 3), (-1.0, 0)):
        policy.zero_grad()
        values = policy[0].detach().numpy() + scores
        probability = np.exp(values) / np.exp(values).sum()
        base = reward if baseline is None else baseline
        wanted.append(-(reward - base) * (np.eye(5)[index] - probability))
        baseline = 0.8 * base + 0.2 * reward
        teacher.learn(reward, torch.log_softmax(policy[0] + torch.from_numpy(scores), 0)[index])
        gradients.append(policy[0].grad.numpy().copy())  # type: ignore[union-attr]
        assert teacher.baseline == pytest.approx(baseline)
    np.testing.assert_allclose(gradients, wanted, rtol=1e-10, atol=1e-14)


def test_on_a_network() -> None:
    torch.manual_seed(0)
    method = get_method("cibcnn", edges=[], unit=0.05)
    net = models.create("resnet20", method=method, width=4)
    x, y = torch.randn(16, 3, 12, 12), torch.randint(0, 10, (16,))
    state = copy.deepcopy(net.state_dict())
    trained: list[bool] = []
    result = search_interactions(net.eval(), batch_loss(x, y), rounds=1, train=lambda m: trained.append(m.training))
    names = [name for name, m in net.named_modules() if isinstance(m, BinaryConv2d)]
    assert sorted(result.edges) == sorted(names)
    assert result.losses[-1] <= result.losses[0]
    assert trained == [False]
    # nothing but the graphs has changed, and they are the ones that were returned
    for name, value in net.state_dict().items():
        if name.endswith("output.influence"):
            edges = result.edges[name.removesuffix(".output.influence")]
            assert {(s, t, int(value[t, s])) for t, s in value.nonzero().tolist()} == set(edges)
            assert len(edges) <= 0.1 * value.numel()
        else:
            assert torch.equal(value, state[name]), name


def test_errors() -> None:
    with pytest.raises(ValueError, match="no layer with interactions"):
        search_interactions(nn.Linear(3, 3), rigged)
    layer = BinaryLinear(20, 6, method="cibcnn", edges=[])
    assert list(interactions(layer)) == ["output"]
    with pytest.raises(ValueError, match="density"):
        search_interactions(layer, rigged, density=0)
    with pytest.raises(ValueError, match="never ran output"):
        search_interactions(layer, lambda model: 1.0)
    with pytest.raises(ValueError, match="hidden"):
        InteractionPolicy(hidden=0)
