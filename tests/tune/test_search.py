"""Strategies and decisions on synthetic surfaces, with a clock that only measurements move."""

from __future__ import annotations

import pytest

from bitwright.tune import (
    Config,
    History,
    Outcome,
    RecordedRunner,
    TuneError,
    search,
    space_of,
    strategies,
    strategy_of,
)
from bitwright.tune.search import seconds_of

from .surfaces import DEVICE, GEMM, recorded, space, surface


def run(name: str, seed: int = 0, noise: float = 0.0, **options: object) -> tuple[Outcome, float]:
    """The outcome, and its regret: the chosen candidate's true time over the best one's."""
    found = space()
    seconds = surface(found, seed)
    runner, clock = recorded(seconds, noise, seed)
    outcome = search(found, strategy_of(name), runner, clock=clock, seed=seed, **options)  # type: ignore[arg-type]
    return outcome, seconds[outcome.best] / min(seconds.values())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["exhaustive", "halving", "two_stage"])
def test_thorough_strategies_find_the_best(name: str, seed: int) -> None:
    outcome, regret = run(name, seed)
    assert regret <= 1.03, "within the margin that protects the default"
    assert outcome.complete
    _, regret = run(name, seed, noise=0.02)
    assert regret <= 1.06


def test_two_stage_measures_far_fewer() -> None:
    thorough, quick = run("exhaustive")[0], run("two_stage")[0]
    assert len(thorough.history) == 120
    assert len(quick.history) <= 15 + 10 * 8
    assert quick.spent < thorough.spent


@pytest.mark.parametrize("name", sorted(strategies()))
def test_every_strategy_ends_and_is_reproducible(name: str) -> None:
    first, second = run(name, 3, noise=0.05)[0], run(name, 3, noise=0.05)[0]
    assert first.best == second.best
    assert first.history.samples == second.history.samples
    assert first.complete
    assert first.default in first.history, "the default is always measured"


def test_the_budget_ends_a_search_and_what_was_found_counts() -> None:
    outcome, _ = run("exhaustive", budget=0.2)
    assert not outcome.complete
    assert 0.2 <= outcome.spent < 0.5
    assert 1 < len(outcome.history) < 120
    assert outcome.best in outcome.history


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("2m", 120), ("1.5 h", 5400), (0.5, 0.5), ("250ms", 0.25)])
def test_budgets(text: float | str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("wrong", ["soon", "-3", 0, -1.0, "5 days", True, ""])
def test_bad_budgets(wrong: float | str) -> None:
    with pytest.raises(TuneError, match="budget is"):
        seconds_of(wrong)


def test_noise_does_not_dethrone_the_default() -> None:
    found = space()
    seconds = dict.fromkeys(found.configs, 1e-4)
    for seed in range(5):
        runner, clock = recorded(seconds, noise=0.01, seed=seed)
        assert search(found, strategy_of("exhaustive"), runner, clock=clock).best == found.configs[0]


def test_a_tie_goes_to_the_earlier_candidate() -> None:
    found = space()
    seconds = dict.fromkeys(found.configs, 1e-4)
    seconds[found.configs[0]] = 2e-4
    runner, clock = recorded(seconds)
    assert search(found, strategy_of("exhaustive"), runner, clock=clock).best == found.configs[1]


def test_a_broken_default_is_replaced_and_the_reason_kept() -> None:
    found = space()
    broken = {found.configs[0]: "wrong result in 3 of 100 outputs"}
    outcome = search(found, strategy_of("halving"), RecordedRunner(surface(found), broken=broken))
    assert outcome.best != found.configs[0]
    assert outcome.failures == broken


def test_nothing_measurable_is_an_error_with_the_reasons() -> None:
    found = space()
    runner = RecordedRunner(surface(found), broken=dict.fromkeys(found.configs, "no driver"))
    with pytest.raises(TuneError, match="nothing could be measured on test machine: no driver"):
        search(found, strategy_of("portfolio"), runner)
    with pytest.raises(TuneError, match="has no candidate on test machine: no family serves"):
        search(space_of(GEMM, DEVICE, []), strategy_of("portfolio"), runner)


def test_ctrl_c_keeps_what_was_found() -> None:
    found = space()

    class Interrupted(RecordedRunner):
        def measure(self, configs: object, repeats: int) -> dict[Config, list[float]]:
            if self.evaluations > 40:
                raise KeyboardInterrupt
            return super().measure(configs, repeats)  # type: ignore[arg-type]

    outcome = search(found, strategy_of("exhaustive"), Interrupted(surface(found)))
    assert outcome.interrupted
    assert not outcome.complete
    assert outcome.best in outcome.history


def test_an_earlier_search_spares_the_hopeless() -> None:
    found = space()
    seconds = surface(found)
    known = History({config: [s] for config, s in seconds.items()})
    runner, clock = recorded(seconds)
    outcome = search(found, strategy_of("exhaustive"), runner, known=known, clock=clock)
    best = min(seconds.values())
    skipped = {c for c, s in seconds.items() if s > 2 * best and c != found.configs[0]}
    assert skipped
    assert not skipped & set(outcome.history.samples)
    assert seconds[outcome.best] <= 1.03 * best


def test_an_unknown_strategy() -> None:
    with pytest.raises(TuneError, match=r"unknown strategy 'exhastive'\. Did you mean 'exhaustive'"):
        strategy_of("exhastive")
