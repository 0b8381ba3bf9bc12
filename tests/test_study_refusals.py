"""What an experiment would refuse is told before anything runs: sizes that cannot be, words that name nothing; each once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.studies import judged

from sparsegap.errors import guess

UNIFORM = "uniform:atoms=8,width=4,active=2"


def refused(folder: Path, experiment: str, text: str) -> list[str]:
    """What is wrong with a study of one block."""
    return [str(fault) for fault in judged(folder, f'title = "t"\nexperiment = "{experiment}"\n{text}')[1]]


@pytest.mark.parametrize("experiment", ["both_unknown", "known_codes", "known_dictionary", "sparsity_path", "learned_atoms",
                                        "lasso_dictionary", "topk_coding", "linear_ceiling", "unrolled_depth"])
def test_more_active_atoms_than_there_are(tmp_path: Path, experiment: str) -> None:
    told = "uniform needs active between 1 and its 8 atoms, not 20"
    assert refused(tmp_path, experiment, "settings = {atoms = 8, active = 20}") == [f"trials: {experiment}: {told}"]
    assert refused(tmp_path, experiment, "settings = {atoms = 8, active = 8}") == []


@pytest.mark.parametrize("option", ["samples", "test", "steps", "hidden", "model_atoms"])
def test_none_of_what_is_counted(tmp_path: Path, option: str) -> None:
    told = f"trials: both_unknown: {option} must be at least 1, not 0"
    assert refused(tmp_path, "both_unknown", f"settings.{option} = 0") == [told]
    assert refused(tmp_path, "unrolled_depth", "settings.samples = 0") == []  # there it means that there is no end of them


def test_one_sentence_for_all_trials_that_it_is_about(tmp_path: Path) -> None:
    found = refused(tmp_path, "comparison", f'settings.source = "{UNIFORM}"\nsweep.steps = [10, 20]\nsweep.k = [2, 30]\n')
    assert found == ["trials: comparison/steps=10/k=30.0 and 1 more: k must be above 0 and at most the number of atoms, 8, not 30"]


@pytest.mark.parametrize(("experiment", "text", "fault"), [
    ("comparison", 'settings.source = "unifrom:atoms=8"', "settings.source: there is no source 'unifrom'; there are: categorical"),
    ("decomposition", 'settings.source = "uniform:atoms=8"', "settings.source: the source 'uniform:atoms=8' lacks width, active"),
    ("warm_starts", 'sweep.level = [{label = "a", source = "uniform:atoms=8,width=4,active=9"}]',
     "sweep.level[0].source: uniform needs active between 1 and its 8 atoms, not 9"),
    ("comparison", f'settings.source = "{UNIFORM}"\nsweep.learner = ["topk", "tpok"]',
     "sweep.learner: there is no encoder and no learner 'tpok'; did you mean 'topk'?"),
    ("decomposition", f'settings.source = "{UNIFORM}"\nsettings.learner = "online"',
     "settings.learner: there is no encoder 'online'; there are:"),
    ("comparison", f'settings.source = "{UNIFORM}"\nsettings.readers = ["omp", "lassso"]',
     "settings.readers: there is no way to read called 'lassso'; did you mean 'lasso'?"),
])  # fmt: skip
def test_a_word_that_names_nothing_is_told_where_it_stands(tmp_path: Path, experiment: str, text: str, fault: str) -> None:
    (only,) = refused(tmp_path, experiment, text)
    assert only.startswith(fault)


def test_words_and_slips_are_told_together(tmp_path: Path) -> None:
    text = 'settings = {source = "nope", stesp = 3}\nsweep.k = []\n[[figures]]\nname = "f"\nkind = "dost"\ntitle = "t"\n'
    assert [each.partition(":")[0] for each in refused(tmp_path, "comparison", text)] == [
        "sweep.k", "settings.source", "settings.stesp", "figures[0].kind"]


def test_sizes_are_judged_beside_other_faults(tmp_path: Path) -> None:
    found = refused(tmp_path, "both_unknown", "settings = {widht = 8, atoms = 4, active = 20}\nsweep.rate = []\n")
    assert found == ["sweep.rate: is an empty list: there would be no trial",
                     "settings.widht: both_unknown has no option 'widht'; did you mean 'width'?",
                     "trials: both_unknown: uniform needs active between 1 and its 4 atoms, not 20"]


@pytest.mark.parametrize(("word", "sentence"), [
    ("widht", "did you mean 'width'?"), ("mcc", "did you mean 'latent_mcc' or 'dictionary_mcc'?"),
    ("zebra", "there are: width, latent_mcc, dictionary_mcc"), ("", "there are: width, latent_mcc, dictionary_mcc"),
])  # fmt: skip
def test_what_was_meant(word: str, sentence: str) -> None:
    assert guess(word, ["width", "latent_mcc", "dictionary_mcc"], "there are") == sentence
    assert guess(word, [], "there are") == "there are: none"
