"""What the findings of hand tables say"""

import math

import pytest

from tests.selection.choices import chosen, curve, only, row, said


def test_one_seed_has_no_standard_error():
    selection = chosen(curve({0: [2], 0.1: [1], 1: [3]}))
    choice = only(selection)
    assert choice["lambda_min"] == 0.1
    assert choice[["se", "lambda_1se", "lr_1se", "difference_low"]].isna().all()
    assert (choice["difference"], choice["pairs"], choice["method"]) == (-1, 1, "")
    assert any("one replicate" in w and "lambda_1se" in w for w in said(selection))


@pytest.mark.parametrize("losses", [{0: [1, 2, 3]}, {0: [1]}])
def test_lambda_zero_only(losses):
    selection = chosen(curve(losses))
    choice = only(selection)
    assert (choice["lambda_min"], choice["edge"]) == (0, "")
    assert math.isnan(choice["difference"])
    assert any("only λ = 0 was tried" in w for w in said(selection))


def test_a_single_lambda_is_one_question():
    selection = chosen(curve({0.008: [1, 2, 3]}))
    assert only(selection)["edge"] == "both"
    text = "\n".join([*said(selection), ""])
    assert "λ = 0 is missing" in text
    one = "λ = 0.008 is the only λ > 0 tried, so whether another does better is not known; add lambda=8e-4,0.08\n"
    assert one in text  # 8e-5 has D = 0.008, 0.8 has D = 80
    assert "largest tried" not in text


def test_edges_say_how_to_go_on():
    rows = curve({0: [3, 3, 3], 0.001: [2, 2.1, 2.2], 0.003: [1, 1.1, 1.2]})
    up = chosen(rows)
    assert only(up)["edge"] == "upper"
    assert any("best λ = 0.003 is the largest tried" in w and "add lambda=0.009,0.027" in w for w in said(up))
    beyond = [row(0.009, 0, math.nan, status="diverged")]  # what lies above is known: it diverges
    assert only(chosen([*rows, *beyond]))["edge"] == ""
    zero = chosen(curve({0: [1, 1.1, 1.2], 0.1: [2, 2.1, 2.2], 0.3: [3, 3, 3]}))
    assert only(zero)["edge"] == ""
    assert any(
        "λ = 0 is best: a λ weaker than those tried may still help; add lambda=0.033,0.011" in w for w in said(zero)
    )
    lr = chosen(curve({0: [2, 2]}, lr=0.1) + curve({0: [1, 1]}, lr=0.2))
    assert any("the best lr = 0.2 at that λ is the largest tried; add lr=0.4,0.8" in w for w in said(lr))


def test_no_lambda_is_proposed_where_decay_is_off_or_absurd():
    """D = 100λ: below λ = 5e-4 decay cannot act, above 0.1 it leaves nothing of a weight."""
    low = chosen(curve({0: [3, 3, 3], 0.0009: [1, 1.1, 1.2], 0.009: [2, 2.1, 2.2]}))
    sentence = "best λ = 9e-4 is the smallest λ > 0 tried; half of it cannot act (total decay D < 0.05)"
    assert any(sentence in w for w in said(low))
    high = chosen(curve({0: [3, 3, 3], 0.01: [2, 2.1, 2.2], 0.06: [1, 1.1, 1.2]}))
    assert any("twice that leaves nothing of a weight (total decay D > 10)" in w for w in said(high))
    assert not any(f.settles for s in (low, high) for f in s.findings if f.kind in ("lower edge", "upper edge"))
    zero = chosen(curve({0: [1, 1.1, 1.2], 0.001: [2, 2.1, 2.2], 0.01: [3, 3.1, 3.2]}))
    assert not any("weaker than those tried" in w for w in said(zero))
    unknown = chosen(curve({0: [3, 3, 3], 0.001: [1, 1.1, 1.2], 0.01: [2, 2.1, 2.2]}, total_decay=math.nan))
    assert any("add lambda=1e-4,1e-5" in w for w in said(unknown))


def test_a_lambda_that_cannot_act_is_said():
    selection = chosen(curve({0: [2, 2.1, 2.2], 1e-5: [1, 1.1, 1.2], 1e-4: [2, 2.1, 2.2]}))  # D = 100λ here
    assert any("too small to act" in w and "lambda=0.005 would act" in w for w in said(selection))
    zero = chosen(curve({0: [1, 1.1, 1.2], 1e-5: [2, 2.1, 2.2]}))
    assert any("no λ tried can act" in w for w in said(zero))


def test_all_within_one_standard_error_is_said():
    selection = chosen(curve({0: [1, 3, 2.2], 0.1: [1, 3, 2], 1: [1, 3, 2.1]}))
    assert any("cannot tell whether decay matters" in w for w in said(selection))


def test_missing_replicates_and_cells_are_counted():
    runs = curve({0: [1, 2, 3], 0.1: [1, None, 3]}) + curve({0: [4, 4, 4], 1: [5, 5, 5]}, lr=0.2)
    runs += curve({1: [6, 6, 6]})
    selection = chosen(runs)
    cells = selection.cells.set_index(["lr", "lambda"])["missing"]
    assert cells[(0.1, 0.1)] == 1
    assert cells.sum() == only(selection)["missing"] == 1
    assert any("1 of the 6 cells" in w for w in said(selection))
    says = (
        "1 replicate is missing: cells are compared over the 3 replicates that all candidates have; λ = 0.1 (n = 2) "
        "lacks some of them and cannot be chosen; run what they lack"
    )
    assert any(says in w for w in said(selection))


def test_unequal_budgets_are_said_and_compared_at_equal_budget():
    rows = curve({0.1: [3, 3], 1: [1, 1], 10: [2, 2]}, decay="a") + curve({0.1: [1.5, 1.5]}, decay="b")
    selection = chosen(rows)
    assert selection.leaderboard["expected"].tolist() == pytest.approx([2, 1.5])
    assert any("unequal budgets (1 to 3 cells)" in w and "another one leads" in w for w in said(selection))


def test_without_nuisance_knobs_a_lower_lr_is_not_proposed():
    rows = [row(lam, s, math.nan, status="diverged") for lam in (0, 1) for s in (0, 1)]
    (finding,) = chosen(rows, nuisance=[]).findings
    assert (finding.kind, finding.numbers["add"], finding.settles) == ("nothing", [], ())
