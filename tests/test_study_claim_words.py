"""What a claim may say, and how its verdict is said."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.judging import BETTER, SAE, SC, claim

from sparsegap.study.records import Records
from sparsegap.study.side_words import conditions
from sparsegap.study.verdict_words import sentence
from sparsegap.study.verdicts import Verdict, verdicts


@pytest.mark.parametrize(("more", "says"), [
    ({"b": SAE}, "Sparse coding's latent MCC is 0.1 above SAE's ("),
    ({"a": {"method": "sc", "size": 8}, "b": {"method": "lasso"}},
     "Latent MCC of sparse coding (size = 8) is 0.1 above that of lasso, certified ("),
    ({"a": {"bias": True}, "b": {"bias": False}}, "Latent MCC with bias is 0.1 above that with no bias ("),
    ({"a": {"method": ["sc", "sae"], "reader": "own"}, "b": {}},
     "Latent MCC of sparse coding or SAE (read by its own encoder) is 0.1 above that of all rows ("),
    ({"a": {"method": "sc", "reader": "omp"}, "b": {"dictionary_is": "learned", "method": "sae"}},
     "Latent MCC of sparse coding (read by OMP) is 0.1 above that of SAE (dictionary learned) ("),
    ({"a": {"dictionary_is": "known", "reader": ["omp", "solver"]}, "b": {"reader": "own"}},
     "Latent MCC with dictionary known (read by OMP or read by a solver) is 0.1 above that read by its own encoder ("),
    ({"a": {"hidden": "none"}, "value": 0.0}, "Latent MCC with no hidden units is 0.1 ("),
    ({"metric": "dictionary_mcc", "a": {}, "value": 0.0}, "Dictionary MCC (cosine) is 0.1 ("),
    ({"metric": "flops", "b": SAE, "ratio": True}, "Sparse coding's FLOPs (counted) are 0.1 times SAE's ("),
    ({"metric": "flops", "b": {"atoms": 16}}, "Sparse coding's FLOPs (counted) are 0.1 above those with N = 16 ("),
    ({"metric": "loss", "kind": "trend", "x": "step", "log": False, "b": SAE},
     "Sparse coding's loss, less SAE's, rises by 0.1 for each unit of training steps ("),
    ({"metric": "found", "a": {"learner": "online"}, "b": {"learner": "topk"}},
     "Online dictionary learning's share of true atoms found is 0.1 above TopK SAE's ("),
    ({"metric": "dead", "kind": "trend", "x": "width"}, "Sparse coding's dead latents rise by 0.1 for each doubling of measurements M ("),
])
def test_a_claim_is_said_as_people_say_it(more: dict[str, Any], says: str) -> None:
    which = claim(**{"metric": "latent_mcc", **more})
    verdict = Verdict("", which.kind, which.metric, {}, "not shown", estimate=0.1, n=1)
    assert sentence(which, verdict, 1).startswith(says)


# What a claim may say.


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "give one of the two"),
        ({"b": SAE, "value": 1.0}, "give one of the two"),
        ({"b": SC}, "select the same rows"),
        ({"b": SAE, "margin": -1}, "greater than or equal to 0"),
        ({"b": SAE, "x": "step"}, "does not know x"),
        ({"kind": "equivalent", "b": SAE}, "needs a margin above 0"),
        ({"kind": "about"}, "value, or its range"),
        ({"kind": "about", "low": 1.0}, "both low and high"),
        ({"kind": "about", "low": 1.0, "high": 0.0}, "low=1.0 above high=0.0"),
        ({"kind": "about", "value": 1.0, "margin": 0.1}, "takes no margin"),
        ({"b": SAE, "ratio": True, "margin": 0.5}, "a factor where ratio is true"),
        ({"value": -1.0, "ratio": True}, "above 0 where ratio is true"),
        ({"kind": "about", "low": -1.0, "high": 1.0, "ratio": True}, "above 0 where ratio is true"),
        ({"kind": "trend"}, "needs x"),
        ({"kind": "bigger"}, "'greater', 'about', 'equivalent' or 'trend'"),
        ({"b": SAE, "wether": 1}, "Extra inputs"),
    ],
)
def test_claims_that_cannot_be_judged_are_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        claim(**more)


def test_columns_that_a_claim_needs() -> None:
    which = claim(b={"method": "sae", "hidden": 3}, at={"step": 5}, each=["size"])
    assert which.columns == ["score", "method", "hidden", "step", "size"]
    assert which.each == ["variant", "size"]


def test_a_verdict_at_one_place_names_that_place_and_not_all() -> None:
    found = [row | {"atoms": atoms} for row in BETTER for atoms in (16, 64)]
    each = verdicts([claim(b=SAE, a={**SC, "atoms": [16, 64]}, each=["variant", "atoms"])], Records(found))
    assert [one.sentence.partition(" is ")[0] for one in each] == ["Score of sparse coding (N = 16)", "Score of sparse coding (N = 64)"]


def test_rows_are_asked_for_by_their_reader() -> None:
    assert conditions({"reader": "omp", "atoms": 16}) == "reader OMP, N = 16"
