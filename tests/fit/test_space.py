"""Budgets from the command line, and networks within them."""

import numpy as np
import pytest

from nelf.core.errors import ConfigError
from nelf.fit import Budget, SearchSpace, file_megabytes
from nelf.fit.space import CLOSE, Unit
from nelf.student import HierarchicalConfig, StudentConfig
from tests.fit.devices import made_for, space, time_of
from tests.student.small import small_config


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("16ms", Budget(16.0, Unit.MILLISECONDS)),
        (" 0.5 MB ", Budget(0.5, Unit.MEGABYTES)),
        ("2MB", Budget(2.0, Unit.MEGABYTES)),
        (".5ms", Budget(0.5, Unit.MILLISECONDS)),
    ],
)
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize("text", ["16", "ms", "-1ms", "0ms", "16 s", "2mb", "1e3ms", "16msx", "nanms", ""])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"use e\.g\. --budget 16ms or --budget 2MB"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("amount", "least"), [(2.11, "2.22ms"), (0.00123, "0.0013ms"), (100.0, "105ms"), (1234.5, "1300ms")]
)
def test_the_least_budget_is_a_little_more_in_three_digits(amount: float, least: str) -> None:
    assert str(Budget(1.0, Unit.MILLISECONDS).least(amount)) == least


def cost_in(of: SearchSpace, config: StudentConfig) -> float:
    return time_of(of.count(config).work)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_networks_within_the_budget_use_most_of_it(share: float) -> None:
    of = space()
    least, most = (cost_in(of, of.config(values)) for values in (of.smallest(), of.largest()))
    budget = Budget(least + share * (most - least), Unit.MILLISECONDS)
    found = of.within(12, lambda config: cost_in(of, config), budget, np.random.default_rng(0))
    assert len(found) == 12
    costs = [cost_in(of, of.config(values)) for values in found]
    assert all(CLOSE * budget.amount <= cost <= budget.amount for cost in costs)
    assert len({tuple(values.items()) for values in found}) == 12
    assert found == of.within(12, lambda config: cost_in(of, config), budget, np.random.default_rng(0))


def test_a_budget_beyond_the_largest_network_gets_the_largest() -> None:
    of = space()
    found = of.within(5, lambda config: cost_in(of, config), Budget(1e9, Unit.MILLISECONDS), np.random.default_rng(0))
    assert of.largest() in found


def test_a_budget_that_nothing_meets_names_the_nearest() -> None:
    of = space()
    least = cost_in(of, of.config(of.smallest()))
    budget = Budget(least / 2, Unit.MILLISECONDS)
    with pytest.raises(ConfigError) as caught:
        of.within(5, lambda config: cost_in(of, config), budget, np.random.default_rng(0))
    assert f"the cheapest costs about {least:.3g} ms (points_per_ray=8, width=16" in str(caught.value)
    assert f"use --budget {budget.least(least)} or more, or smaller images" in str(caught.value)


def test_a_size_limits_the_file() -> None:
    of = space()

    def cost(config: StudentConfig) -> float:
        return file_megabytes(of.count(config), "fp32")

    found = of.within(6, cost, Budget(1.0, Unit.MEGABYTES), np.random.default_rng(3))
    assert all(cost(of.config(values)) <= 1 for values in found)


def test_the_first_network_is_like_that_of_the_run() -> None:
    of = space()
    asked = of.nearest_to(HierarchicalConfig(width=50, cell=1, decoder_width=9))
    assert {name: asked[name] for name in ("width", "cell", "decoder_width")} == {
        "width": 48,
        "cell": 1,
        "decoder_width": 16,
    }


def test_choices_are_allowed_values_from_cheap_to_costly() -> None:
    of = space()
    costs = []
    for name, options in of.choices.items():
        assert len(set(options)) == len(options)
        costs.append([of.count(of.config({**of.smallest(), name: option})).macs for option in options])
    assert all(list(row) == sorted(row) for row in costs)


def test_a_family_of_one_size_cannot_be_searched() -> None:
    with pytest.raises(ConfigError, match="has one size, so there is nothing to fit; use student=m"):
        SearchSpace(small_config("mobiler2l"), made_for())
