"""What figures of the other kinds draw: dots, heat maps, break-even, trade-offs, matrices, histograms; and what is averaged."""

from __future__ import annotations

import json
import math

import pytest
from tests.figure_specs import KINDS, lines, spec_of, swept
from tests.study_records import decoders, grid, ladder, priced, trained

from sparsegap.drawing.axes import by_marks, is_cut
from sparsegap.drawing.still import rows_of
from sparsegap.errors import InputError
from sparsegap.study.records import Records


def test_dots_take_the_last_step_or_the_one_that_validation_chose() -> None:
    records = trained()
    for at, step in (("last", 6000), ("best", 5000)):
        row = next(row for row in rows_of(spec_of("dots", records, at=at)) if row["method"] == "sc" and row["group"] == "corrected")
        values = [each["latent_mcc"] for each in records.where(variant="corrected", method="sc", step=step).rows]
        assert row["y"] == pytest.approx(sum(values) / 3, rel=1e-5)
        assert row["seeds"] == 3


def test_a_heat_map_takes_differences_seed_by_seed() -> None:
    rows = rows_of(spec_of("heatmap"))
    assert len(rows) == 18
    above = next(row for row in rows if (row["panel"], row["x"], row["y"]) == (0, 16, 16))
    assert above["value"] == pytest.approx(0.1)
    assert [above["low"], above["high"]] == pytest.approx([0.1, 0.1])  # the seeds' own scatter cancels
    assert above["words"] == "+0.10"
    assert next(row for row in rows if (row["panel"], row["x"], row["y"]) == (1, 64, 8))["words"] == "−0.02"


def test_the_boundary_of_recovery() -> None:
    spec = spec_of("heatmap", grid(), of="sc", minus="sae", panel="active", boundary="active")
    line = next(layer for layer in spec["concat"][0]["layer"] if layer["mark"]["type"] == "line")
    points = spec["datasets"][line["data"]["name"]]
    for point in points:
        n, m = 16 * 2 ** point["across"], 8 * 2 ** point["up"]
        assert m == pytest.approx(2 * 3 * math.log(n / 3), rel=1e-3)


def test_the_points_of_break_even_are_where_costs_are_equal() -> None:
    from sparsegap.break_even import break_even

    spec = spec_of("break_even")
    rows = {(row["where"], row["name"]): row for row in rows_of(spec)}
    counted = {name: rows["FLOPs of training", name] for name in ("sparse coding", "SAE", "MLP 32")}
    first = break_even(*(counted[name][cost] for name in ("sparse coding", "SAE") for cost in ("train", "inference")))
    assert counted["SAE"]["from"] == first.samples == pytest.approx(20)
    assert counted["SAE"]["cost"] == pytest.approx(1e4 + 20 * 1e3)
    assert (counted["SAE"]["to"], counted["MLP 32"]["from"], counted["MLP 32"]["to"]) == (5000, 5000, None)
    assert counted["SAE"]["stretch"] == "20 to 5,000 samples"
    assert rows["flops train paper", "sparse coding"]["stretch"] == "nowhere"
    assert "FLOPs of training: sparse coding up to 20 samples, then SAE up to 5,000 samples, then MLP 32." in spec["usermeta"]["note"]
    drawn = json.dumps(spec)
    assert drawn.count('"mark": "20"') and '"least": 11000' in drawn


def test_break_even_with_one_ledger_and_ends_of_ones_own() -> None:
    one = spec_of("break_even", priced(), where={"method": ["sc", "sae"]}, samples=[10.0, 1000.0])
    assert "Cheapest: sparse coding up to 20 samples, then SAE." in one["usermeta"]["note"]
    alone = spec_of("break_even", priced(), where={"method": "sae"}, quality=None)
    assert "Cheapest: SAE always." in alone["usermeta"]["note"]
    assert "quality" not in alone["usermeta"]["columns"]
    with pytest.raises(InputError, match="go in pairs, but there are 2, 1 and 2"):
        KINDS["break_even"](priced(), train=["flops_train", "flops_train_paper"])
    with pytest.raises(InputError, match="two ends of an axis"):
        KINDS["break_even"](priced(), samples=[5.0, 2.0])


def test_the_frontier_is_what_nothing_cheaper_equals() -> None:
    rows = [row for row in rows_of(spec_of("tradeoff")) if row["panel"] == 0 and row["kind"] == "known"]
    assert [row["method"] for row in rows if row["efficient"]] == ["sae", "omp", "sc"]
    assert all(row["corner"] for row in rows)
    total = rows_of(spec_of("tradeoff", ladder(), train="flops_train", samples=1000.0, panel="atoms"))
    assert total[0]["x"] == pytest.approx(1e9 + 1000 * 16 * 30)


def test_a_trade_off_has_a_mark_for_each_setting_that_varies() -> None:
    spec = spec_of("tradeoff", swept(), panel="atoms")
    rows = rows_of(spec)
    assert len(rows) == 8
    assert {row["setting"] for row in rows if row["method"] == "ista"} == {f"depth = {d}, K = {k}" for d in (1, 2) for k in (2, 4)}
    assert "a mark for each unrolled steps and active sources K" in spec["usermeta"]["note"]
    one = [row for row in swept().rows if row["depth"] == 1 and row["active"] == 2]
    assert "frontier" not in spec_of("tradeoff", Records(one), panel="atoms")["usermeta"]["note"]
    assert "frontier" in spec["usermeta"]["note"]


def test_what_is_averaged_beside_seeds_is_said() -> None:
    spec = spec_of("dots", swept(), colour="active")
    assert "Each is also a mean over: unrolled steps, method." in spec["usermeta"]["note"]
    points = [row for rows in spec["datasets"].values() for row in rows if "seed" in row]
    assert len(points) == 2 * 2  # a dot is a seed, not a run of it
    assert all(any(mean["low"] <= point["y"] <= mean["high"] for mean in rows_of(spec)) for point in points)
    assert "a mean over: active sources K." in spec_of("curves", swept(), x="depth")["usermeta"]["note"]
    assert "a mean over" not in spec_of("curves", swept(), x="depth", panel="active")["usermeta"]["note"]
    assert "a mean over" not in spec_of("curves")["usermeta"]["note"]


def test_matrices_and_their_limits() -> None:
    rows = rows_of(spec_of("matrices"))
    assert len(rows) == 32
    assert all(row["value"] == 1 for row in rows if row["row"] == row["column"])
    assert "in all panels" in spec_of("matrices")["usermeta"]["note"]
    faint = {"gram": [[0.1, 0.0], [0.0, 0.2]]}
    apart = spec_of("matrices", Records([row | faint if row["method"] == "sae" else row for row in decoders().rows]))
    assert "the deepest shade is 1, in “SAE” 0.2." in apart["usermeta"]["note"]
    assert "abs(datum.value) / 0.2" in json.dumps(apart["concat"][0])
    broken = Records([{"method": "sae", "seed": 0, "gram": [[1.0, 2.0], [3.0]]}])
    with pytest.raises(InputError, match="all of the same length"):
        KINDS["matrices"](broken)
    with pytest.raises(InputError, match="larger than the 4,096"):
        KINDS["matrices"](Records([{"method": "sae", "seed": 0, "gram": [[0.0] * 65] * 65}]))


def test_the_boundary_leaves_out_the_numbers() -> None:
    rows = [{"method": "sae", "seed": 0, "atoms": n, "width": m, "active": 3, "latent_mcc": 0.5} for n in (16, 32, 64) for m in (8, 16, 32)]
    spec = KINDS["heatmap"](Records(rows), boundary="active").to_dict()
    line = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    points = spec["datasets"][line["data"]["name"]]
    assert points and max(point["piece"] for point in points) > 1
    assert not any(abs(point["across"] - x) < 0.25 and abs(point["up"] - y) < 0.2 for point in points for x in range(3) for y in range(3))


def test_an_interval_stretches_an_axis_only_so_far() -> None:
    rows = [{"seed": seed, "l1": l1, "l0": l1, "mse": l1 * (1 + 6 * (seed == 2))} for l1 in (0.5, 1.0) for seed in range(3)]
    spec = KINDS["paths"](Records(rows)).to_dict()
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    found = rows_of(spec)
    assert min(row["low"] for row in found) < 0 < low < min(row["y"] for row in found)
    assert max(row["y"] for row in found) < high < max(row["high"] for row in found)
    assert "cut" in spec["usermeta"]["note"]
    assert "cut" not in spec_of("paths")["usermeta"]["note"]
    assert -0.2 < by_marks("mse", [0.1, 4.0], [-1.0, 4.5])[0] < 0  # an error is never negative
    lost = by_marks("lost_latent_mcc", [0.1, 0.2], [-0.01, 0.3])  # whether it reaches below zero is what is asked
    assert lost[0] < -0.01 and not is_cut(lost, [-0.01, 0.2])


def test_abbreviations_are_spelled_out_in_the_note() -> None:
    rows = [{"encoder": name, "seed": 0, "latent_mcc": 0.5} for name in ("SAE", "SAE+ITO")]
    assert KINDS["dots"](Records(rows), colour="encoder").to_dict()["usermeta"]["note"].endswith("ITO: codes optimised at inference time.")
    assert "ITO" not in KINDS["dots"](Records(rows[:1]), colour="encoder").to_dict()["usermeta"]["note"]


def test_a_histogram_counts_every_value_once() -> None:
    rows = lines(spec_of("histogram"), "sae")
    assert sum(row["count"] for row in rows) == 6
    assert sum(row["share"] for row in rows) == pytest.approx(1.0, abs=1e-4)


def test_long_names_of_groups_stand_in_the_plot_and_panels_are_as_wide_as_their_names_need() -> None:
    rows = [{"variant": "none", "method": "sae", "level": level, "block": block, "seed": 0, "latent_mcc": 0.5}
            for level in ("1,000 / 200 / 20, TopK SAE", "short") for block in ("one", "two")]  # fmt: skip
    brief = [row | {"level": row["block"]} for row in rows]
    long, short = (spec_of("dots", Records(each), group="level", panel="block") for each in (rows, brief))
    assert '"align": "left", "baseline": "middle", "dx": 4' in json.dumps(long, sort_keys=True)
    assert '"align": "left", "baseline": "middle", "dx": 4' not in json.dumps(short, sort_keys=True)
    named = spec_of("dots", Records([row | {"method": "a dictionary learned online"} for row in rows]), group="level", panel="block")
    assert named["usermeta"]["panels"]["least"] > 100 + long["usermeta"]["panels"]["least"]
