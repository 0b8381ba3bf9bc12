"""Text to run a language model on: plain files, or the public-domain English that the package carries (see texts/NOTICE.md)."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsegap.errors import InputError

DEMO = {"demo": "train", "demo-test": "test"}
DEMO_LICENCE = "public domain (US government work; Jane Austen)"


@dataclass(frozen=True)
class Texts:
    """Documents, where they come from, and under which licence (None: not told)."""

    documents: tuple[str, ...]
    source: str
    licence: str | None = None

    def __post_init__(self) -> None:
        if not any(document.strip() for document in self.documents):
            raise InputError(f"{self.source or 'the text'} holds no text")

    @property
    def sha256(self) -> str:
        """Of the documents, with their borders."""
        digest = hashlib.sha256()
        for document in self.documents:
            data = document.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()


def demo_texts(split: str = "train") -> Texts:
    """About a megabyte of public-domain English: presidential addresses 1790-2018 and chapters of Jane Austen.

    split: `train` (1.0 MB), or `test` (0.16 MB): other presidents and another novel, nothing in common with `train`.
    """
    if split not in DEMO.values():
        raise InputError(f"the demo text has the splits train and test, not '{split}'")
    data = (Path(__file__).parent / f"{split}.txt.xz").read_bytes()
    return Texts(tuple(lzma.decompress(data).decode().split("\f")), f"demo text ({split})", DEMO_LICENCE)


def read_texts(files: Sequence[str | Path]) -> Texts:
    """Plain UTF-8 text files, one document each; `demo` or `demo-test` alone means the text that the package carries."""
    if not files:
        raise InputError("no text given: name at least one text file, or demo")
    if len(files) == 1 and str(files[0]) in DEMO and not Path(files[0]).exists():
        return demo_texts(DEMO[str(files[0])])
    names = ", ".join(Path(file).name for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return Texts(tuple(_read(Path(file)) for file in files), names)


def _read(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give text files")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the text {path} cannot be read: {(error.strerror or 'unknown error').lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}") from error
