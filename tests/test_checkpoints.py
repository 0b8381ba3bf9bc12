"""Checkpoints: ours and SAELens', judged by what they compute, never by their tensors alone."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sparsegap import registry
from sparsegap.activations import Centring
from sparsegap.checkpoints import Metadata, encoder_name, export_saelens, open_checkpoint, open_dictionary, save_checkpoint
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError

D, M, K, N = 12, 30, 9, 200


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def x() -> Tensor:
    """Activations far from the origin."""
    return 20 * randn(D, seed=1) + 3 * randn(N, D, seed=2)


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    """Large b_dec, atoms of norms 0.1 to 10, thresholds in the midst of the activations."""
    return {
        "W_enc": randn(D, M, seed=3), "b_enc": randn(M, seed=4), "b_dec": 20 * randn(D, seed=1),
        "W_dec": randn(M, D, seed=5) * torch.logspace(-1, 1, M)[:, None],
        "threshold": 5 * torch.rand(M, generator=torch.Generator().manual_seed(6)),
        "b_gate": randn(M, seed=7), "b_mag": 2 + randn(M, seed=8), "r_mag": 0.3 * randn(M, seed=9),
    }


ONLY = {"threshold": ("jumprelu",), "b_gate": ("gated",), "b_mag": ("gated",), "r_mag": ("gated",)}
NOT = {"b_enc": ("gated",)}


CONFIG: dict[str, Any] = {
    "d_in": D, "d_sae": M, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True, "normalize_activations": "none",
    "reshape_activations": "none", "metadata": {"sae_lens_version": "6.54.12", "model_name": "toy"},
}


def written(folder: Path, tensors: dict[str, Tensor], **config: Any) -> Path:
    """A SAELens directory as SAELens writes it, without going through our own writer."""
    folder.mkdir(exist_ok=True)
    config = CONFIG | config
    architecture = config.get("architecture", "standard")
    held = {name: t.contiguous() for name, t in tensors.items()
            if architecture in ONLY.get(name, (architecture,)) and architecture not in NOT.get(name, ())}
    save_file(held, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def reference(tensors: dict[str, Tensor], x: Tensor, architecture: str, *, subtract: bool = True,
              rescale: bool = False) -> tuple[Tensor, Tensor]:
    """Codes and reconstruction by the formulas of formats.md, in float64."""
    t = {name: tensor.double() for name, tensor in tensors.items()}
    product = (x.double() - (t["b_dec"] if subtract else 0)) @ t["W_enc"]
    pre = product + t["b_enc"]
    norms = t["W_dec"].norm(dim=1)
    if architecture == "topk":
        pre = pre * norms if rescale else pre
        codes = torch.zeros_like(pre)
        best = pre.topk(K, dim=1)
        codes.scatter_(1, best.indices, best.values.relu())
    elif architecture == "jumprelu":
        codes = pre.relu() * (pre > t["threshold"])
    elif architecture == "gated":
        codes = (product + t["b_gate"] > 0) * (product * t["r_mag"].exp() + t["b_mag"]).relu()
    else:
        codes = pre.relu()
    return codes, (codes / norms if rescale else codes) @ t["W_dec"] + t["b_dec"]


def assert_computes(path: Path, x: Tensor, codes: Tensor, decoded: Tensor) -> None:
    opened = open_checkpoint(path)
    found = opened.encoder.encode(x)
    torch.testing.assert_close(found.dense().double(), codes, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(opened.encoder(x).detach().double(), codes, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(opened.dictionary.decode(found).double(), decoded, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
def test_saelens_directories_compute_what_saelens_computes(
    tmp_path: Path, tensors: dict[str, Tensor], x: Tensor, architecture: str, subtract: bool,
) -> None:
    k = {"k": K} if architecture == "topk" else {}
    path = written(tmp_path / "sae", tensors, architecture=architecture, apply_b_dec_to_input=subtract, **k)
    codes, decoded = reference(tensors, x, architecture, subtract=subtract)
    assert_computes(path, x, codes, decoded)
    assert 0 < float((codes > 0).double().mean()) < 0.9


@pytest.mark.parametrize("name", ["batch_topk", "prolu", "gated", "relu", "jumprelu", "topk"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("pre_bias", ["the dictionary's", "another", None])
def test_what_saelens_has_a_kind_for_is_published_as_that(
    tmp_path: Path, tensors: dict[str, Tensor], x: Tensor, name: str, bias: bool, pre_bias: str | None,
) -> None:
    dictionary = Dictionary(tensors["W_dec"], tensors["b_dec"])
    given = {"k": K} if name in ("topk", "batch_topk") else {}
    encoder = registry.member("encoders", name).from_dictionary(dictionary, bias=bias, pre_bias=pre_bias is not None, **given).double()
    with torch.no_grad():
        for number, parameter in enumerate(p for p in encoder.parameters() if p.shape == (M,)):
            parameter += randn(M, seed=20 + number)
        if pre_bias == "another":
            encoder.pre_bias += randn(D, seed=30)
    if name == "batch_topk":
        encoder.update_threshold(7.5)
    codes = encoder.encode(x.double())
    exported = export_saelens(tmp_path / "sae", encoder, Dictionary(tensors["W_dec"].double(), tensors["b_dec"].double()))
    published = open_checkpoint(exported).encoder
    assert encoder_name(published) == {"batch_topk": "jumprelu", "prolu": "jumprelu"}.get(name, name)
    torch.testing.assert_close(published.encode(x.double()).dense(), codes.dense(), rtol=1e-10, atol=1e-10)
    assert 0 < float((codes.dense() > 0).double().mean()) < 0.9


@pytest.mark.parametrize("name", ["mlp", "lista"])
def test_what_saelens_has_no_place_for_is_refused(tmp_path: Path, tensors: dict[str, Tensor], name: str) -> None:
    dictionary = Dictionary(tensors["W_dec"])
    with pytest.raises(InputError, match=f"no place for a {name} encoder"):
        export_saelens(tmp_path / "sae", registry.member("encoders", name).from_dictionary(dictionary), dictionary)
    assert not (tmp_path / "sae").exists()


def test_topk_drops_negative_preactivations_among_the_k(tmp_path: Path, tensors: dict[str, Tensor], x: Tensor) -> None:
    tensors["b_enc"] = tensors["b_enc"] - 8
    codes, decoded = reference(tensors, x, "topk")
    assert ((codes > 0).sum(1) < K).any()
    assert_computes(written(tmp_path / "sae", tensors, architecture="topk", k=K), x, codes, decoded)


def test_norms_of_the_atoms_are_folded_where_the_configuration_says_so(tmp_path: Path, tensors: dict[str, Tensor], x: Tensor) -> None:
    codes, decoded = reference(tensors, x, "topk", rescale=True)
    path = written(tmp_path / "sae", tensors, architecture="topk", k=K, rescale_acts_by_decoder_norm=True)
    assert_computes(path, x, codes, decoded)
    assert not torch.allclose(codes, reference(tensors, x, "topk")[0])


def test_old_files_get_todays_names(tmp_path: Path, tensors: dict[str, Tensor], x: Tensor) -> None:
    old = {"hook_point": "blocks.0", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": False}
    path = written(tmp_path / "sae", tensors, metadata={}, **old)
    config = json.loads((path / "cfg.json").read_text())
    del config["apply_b_dec_to_input"], config["metadata"]
    (path / "cfg.json").write_text(json.dumps(config))
    assert_computes(path, x, *reference(tensors, x, "topk"))


def test_old_log_threshold_and_scaling_factor(tmp_path: Path, tensors: dict[str, Tensor], x: Tensor) -> None:
    scale = torch.linspace(0.5, 2, M)
    held = {**tensors, "log_threshold": tensors["threshold"].log(), "scaling_factor": scale}
    del held["threshold"]
    path = written(tmp_path / "sae", held, architecture="jumprelu", finetuning_scaling_factor=True)
    codes, _ = reference(tensors, x, "jumprelu")
    assert_computes(path, x, codes, (codes * scale) @ tensors["W_dec"].double() + tensors["b_dec"].double())


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
@pytest.mark.parametrize("direction", ["read", "write"])
def test_against_saelens_itself(tmp_path: Path, tensors: dict[str, Tensor], x: Tensor, architecture: str, direction: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sae_lens = pytest.importorskip("sae_lens", reason="sae-lens is not installed")
        path = written(tmp_path / "sae", tensors, architecture=architecture, **({"k": K} if architecture == "topk" else {}))
        if direction == "write":
            ours = open_checkpoint(path)
            path = export_saelens(tmp_path / "exported", ours.encoder, ours.dictionary)
        theirs = sae_lens.SAE.load_from_disk(str(path))
        with torch.no_grad():
            codes, decoded = theirs.encode(x), theirs(x)
    assert_computes(path, x, codes.double(), decoded.double())


@pytest.mark.parametrize("pre_bias", ["the dictionary's", "another", None])
@pytest.mark.parametrize("kind", [ReLU, TopK, JumpReLU])
def test_export_and_back(tmp_path: Path, tensors: dict[str, Tensor], x: Tensor, kind: Callable[..., Any], pre_bias: str | None) -> None:
    dictionary = Dictionary(tensors["W_dec"], tensors["b_dec"])
    shift = {"the dictionary's": tensors["b_dec"], "another": tensors["b_dec"] + 1, None: None}[pre_bias]
    encoder = kind(tensors["W_enc"].T, tensors["b_enc"], shift, **({"k": K} if kind is TopK else {}))
    back = open_checkpoint(export_saelens(tmp_path / "sae", encoder, dictionary, {"model_name": "toy"}))
    torch.testing.assert_close(back.encoder.encode(x).dense(), encoder.encode(x).dense(), rtol=1e-4, atol=1e-3)
    assert back.metadata.source["model_name"] == "toy"


def test_own_format_keeps_bits_space_and_metadata(tmp_path: Path, tensors: dict[str, Tensor], x: Tensor) -> None:
    dictionary = Dictionary(tensors["W_dec"], tensors["b_dec"])
    encoder = JumpReLU(tensors["W_enc"].T, tensors["b_enc"], None, tensors["threshold"], bandwidth=0.1)
    told = Metadata(source={"model": "toy", "layer": 3}, training={"steps": 10}, licence="as the model's")
    folder = save_checkpoint(tmp_path / "sae", encoder, dictionary, told, centring=Centring(randn(D, seed=9), 55.5))
    for path in (folder, folder / "weights.safetensors", folder / "sparsegap.json"):
        opened = open_checkpoint(path)
        assert torch.equal(opened.encoder(x), encoder(x))
        assert isinstance(opened.encoder, JumpReLU)
        assert opened.encoder.bandwidth == 0.1
        assert opened.metadata == told
        assert opened.centring is not None
        assert opened.centring.scale == 55.5
        assert torch.equal(opened.centring.mean, randn(D, seed=9))


def test_a_checkpoint_is_replaced_and_leaves_nothing_behind(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    dictionary = Dictionary(tensors["W_dec"], tensors["b_dec"])
    for k in (3, 4):
        save_checkpoint(tmp_path / "sae", TopK.from_dictionary(dictionary, k=k), dictionary)
    encoder = open_checkpoint(tmp_path / "sae").encoder
    assert isinstance(encoder, TopK)
    assert encoder.k == 4
    assert sorted(p.name for p in (tmp_path / "sae").iterdir()) == ["sparsegap.json", "weights.safetensors"]


def test_another_folder_is_not_written_into(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    dictionary = Dictionary(tensors["W_dec"])
    with pytest.raises(InputError, match="already holds something else"):
        save_checkpoint(tmp_path, TopK.from_dictionary(dictionary, k=3), dictionary)
    with pytest.raises(InputError, match="is a file"):
        export_saelens(tmp_path / "thesis.tex", TopK.from_dictionary(dictionary, k=3), dictionary)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


class TestDamaged:
    """One sentence for each way in which a checkpoint can be broken."""

    @pytest.fixture
    def sae(self, tmp_path: Path, tensors: dict[str, Tensor]) -> Path:
        return written(tmp_path / "sae", tensors, architecture="topk", k=K)

    @pytest.fixture
    def own(self, tmp_path: Path, tensors: dict[str, Tensor]) -> Path:
        dictionary = Dictionary(tensors["W_dec"], tensors["b_dec"])
        return save_checkpoint(tmp_path / "own", TopK.from_dictionary(dictionary, k=K), dictionary)

    def refused(self, path: Path, match: str) -> None:
        with pytest.raises(InputError, match=match) as caught:
            open_checkpoint(path)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "nowhere", "does not exist")
        (tmp_path / "empty").mkdir()
        self.refused(tmp_path / "empty", "neither sparsegap.json nor cfg.json, but holds nothing")

    @pytest.mark.parametrize("name", ["ae.pt", "model.bin", "sae.pkl"])
    def test_pickle(self, tmp_path: Path, name: str) -> None:
        torch.save({"W_dec": torch.zeros(2, 2)}, tmp_path / name)
        self.refused(tmp_path / name, "pickle")
        self.refused(tmp_path, "pickle")

    def test_pickle_under_a_safetensors_name(self, sae: Path) -> None:
        torch.save({"W_dec": torch.zeros(2, 2)}, sae / "sae_weights.safetensors")
        self.refused(sae, "is a pickle")

    @pytest.mark.parametrize("keep", [0, 4, 100, -50])
    def test_truncated(self, sae: Path, keep: int) -> None:
        path = sae / "sae_weights.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        self.refused(sae, "truncated or not a safetensors file")

    def test_header_bombs(self, sae: Path) -> None:
        path = sae / "sae_weights.safetensors"
        path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
        self.refused(sae, "cannot hold a header")
        big = 17 << 20
        path.write_bytes(big.to_bytes(8, "little") + b" " * big)
        self.refused(sae, "header of 18 MB")
        header = json.dumps({"W": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 8]}}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
        self.refused(sae, "truncated or not a safetensors file")

    @pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec"])
    def test_missing_tensor_wrong_shape_nan(self, sae: Path, tensors: dict[str, Tensor], name: str) -> None:
        good = {key: value.contiguous() for key, value in tensors.items() if key not in ONLY}
        save_file({key: value for key, value in good.items() if key != name}, sae / "sae_weights.safetensors")
        self.refused(sae, f"lacks {name}")
        save_file(good | {name: good[name][:-1].contiguous()}, sae / "sae_weights.safetensors")
        self.refused(sae, f"{name} has shape")
        save_file(good | {name: torch.full_like(good[name], torch.nan)}, sae / "sae_weights.safetensors")
        self.refused(sae, f"{name} holds NaN or Inf")
        save_file(good | {name: good[name].to(torch.int32)}, sae / "sae_weights.safetensors")
        self.refused(sae, f"{name} holds torch.int32")

    @pytest.mark.parametrize(("config", "match"), [
        ({"d_sae": M + 1}, "where its configuration says"),
        ({"d_in": "wide"}, "d_in must be a positive integer"),
        ({"k": 0}, "k must be a positive integer"),
        ({"k": M + 1}, "k must be between 1 and the number of atoms"),
        ({"architecture": "temporal"}, "'temporal' SAE; supported so far: standard, topk, jumprelu, gated"),
        ({"architecture": "gated"}, "lacks b_gate, b_mag, r_mag"),
        ({"architecture": "jumprelu"}, "lacks threshold"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations is 'layer_norm'"),
    ])
    def test_configuration_that_disagrees(self, sae: Path, config: dict[str, Any], match: str) -> None:
        (sae / "cfg.json").write_text(json.dumps(json.loads((sae / "cfg.json").read_text()) | config))
        self.refused(sae, match)

    @pytest.mark.parametrize(("text", "match"), [("{", "not valid JSON"), ("[1]", "must hold a JSON object"), (None, "is missing")])
    def test_configuration_that_cannot_be_read(self, sae: Path, text: str | None, match: str) -> None:
        (sae / "cfg.json").unlink() if text is None else (sae / "cfg.json").write_text(text)
        self.refused(sae, match)

    @pytest.mark.parametrize(("change", "match"), [
        ({"sha256": "0" * 64}, "does not match sparsegap.json"),
        ({"format": 2}, "format"),
        ({"encoder": "mystery"}, "there is no encoder 'mystery'"),
        ({"options": {"kk": 3}}, "no option 'kk'"),
        ({"options": {}}, "does not hold the tensors of a topk encoder"),
        ({"width": D + 1}, "where its configuration says"),
        ({"surprise": 1}, "surprise"),
    ])
    def test_own_record(self, own: Path, change: dict[str, Any], match: str) -> None:
        (own / "sparsegap.json").write_text(json.dumps(json.loads((own / "sparsegap.json").read_text()) | change))
        self.refused(own, match)

    def test_own_weights(self, own: Path) -> None:
        weights = own / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-40])
        self.refused(own, "truncated")
        weights.unlink()
        self.refused(own, "does not exist")


class TestDictionaryAlone:
    """open_dictionary."""

    def test_checkpoints(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        path = written(tmp_path / "sae", tensors, architecture="standard")
        for given in (path, path / "sae_weights.safetensors"):
            dictionary = open_dictionary(given)
            assert torch.equal(dictionary.atoms, tensors["W_dec"])
            assert torch.equal(dictionary.bias, tensors["b_dec"])

    def test_arrays(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        atoms, bias = tensors["W_dec"].numpy(), tensors["b_dec"].numpy()
        np.save(tmp_path / "a.npy", atoms)
        np.savez(tmp_path / "a.npz", atoms=atoms, bias=bias, gram=atoms @ atoms.T)
        save_file({"W_dec": tensors["W_dec"], "W_enc": tensors["W_enc"]}, tmp_path / "a.safetensors")
        save_file({"anything": tensors["W_dec"]}, tmp_path / "b.safetensors")
        for name in ("a.npy", "a.npz", "a.safetensors", "b.safetensors"):
            assert torch.equal(open_dictionary(tmp_path / name).atoms, tensors["W_dec"])
        assert torch.equal(open_dictionary(tmp_path / "a.npz").bias, tensors["b_dec"])

    def test_refusals(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        np.save(tmp_path / "object.npy", np.array([{}], dtype=object))
        np.save(tmp_path / "int.npy", np.zeros((3, 3), np.int64))
        save_file({"p": tensors["W_dec"], "q": tensors["W_enc"].contiguous()}, tmp_path / "two.safetensors")
        torch.save(tensors, tmp_path / "a.pt")
        (tmp_path / "a.txt").write_text("atoms")
        (tmp_path / "short.npz").write_bytes(b"PK\x03\x04")
        refusals = {
            "object.npy": "without pickle", "int.npy": "must be floating point", "two.safetensors": "must hold one", "a.pt": "is a pickle",
            "a.txt": "no known kind", "short.npz": "truncated", "nothing.npy": "does not exist",
        }
        for name, match in refusals.items():
            with pytest.raises(InputError, match=match):
                open_dictionary(tmp_path / name)


def test_the_real_sae_reproduces_its_published_error(shared_data: Path) -> None:
    opened = open_checkpoint(shared_data / "sae")
    x = load_file(shared_data / "test.safetensors")["activations"].float()
    codes = opened.encoder.encode(x)
    fvu = float((x - opened.dictionary.decode(codes)).square().sum() / (x - x.mean(0)).square().sum())
    assert 0.108 < fvu < 0.1105
    assert int(codes.l0().max()) == 32
