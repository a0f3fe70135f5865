"""Where a checkpoint is: a folder, or a hub id that becomes one, pinned to a commit.

``org/name`` is the newest commit of the hub's main branch, ``org/name@REVISION`` a branch, tag or
commit. `huggingface_hub` downloads and caches, so its variables hold: ``HF_HOME`` (the cache),
``HF_HUB_OFFLINE`` (the cache alone), ``HF_ENDPOINT`` (another hub).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from models.errors import CheckpointError

# What a tokenizer is made of, any one of them: a checkpoint has it ready as tokenizer.json, or
# transformers makes it of the others.
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "bpe.codes",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)
# What a checkpoint consists of; a repository may hold much more, and none of its code is fetched.
FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    *TOKENIZERS,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "reference_outputs.json",
)
# PyTorch's own format, which older repositories hold instead of safetensors.
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint is.

    Attributes:
        path: the folder of its files: the user's own, or that of a commit in the hub's cache.
        said: what a command takes for exactly this one: the folder, or ``org/name@COMMIT``.
        from_hub: whether the folder is the cache's, where nothing may be written.
    """

    path: Path
    said: str
    from_hub: bool

    @property
    def name(self) -> str:
        """What reports and reference outputs call it: the folder's name, or the id and the
        commit."""
        return self.said if self.from_hub else self.path.name

    @property
    def record_command(self) -> str:
        """The command that records its reference outputs."""
        return f"python fit.py record {self.said}" + (" --out DIR" if self.from_hub else "")


def locate(source: str) -> Source:
    """The folder of ``source``: itself, or of a hub id what was downloaded, now or before.

    Raises:
        CheckpointError: no such folder, and the hub gave no such model, or not all of it.
    """
    if Path(source).is_dir():
        return Source(Path(source), source, from_hub=False)
    name, _, revision = source.partition("@")
    folder = _downloaded(name, revision or None)
    return Source(folder, f"{name}@{folder.name}", from_hub=True)


def _downloaded(name: str, revision: str | None) -> Path:
    """The cache's folder of one commit, which is called by the commit's hash."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
        if not any(folder.glob("model*.safetensors")):
            snapshot_download(name, revision=folder.name, allow_patterns=list(PICKLED))
    except Exception as error:  # its own many types, and those of what it downloads with
        why = _why(error, name, revision)
        raise CheckpointError(
            f"{name}{f'@{revision}' if revision else ''}: no such folder, and {why}"
        ) from error
    return folder


def _why(error: Exception, name: str, revision: str | None) -> str:
    """What was wrong on the way from the hub, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub, cache = constants.ENDPOINT, constants.HF_HUB_CACHE
    said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    match error:
        case HFValidationError():
            why = "not a hub id (org/name, or org/name@REVISION)"
        case GatedRepoError():
            why = (
                f"on the hub it is gated: ask for access at {hub}/{name}, log in with "
                "`hf auth login` and run this again"
            )
        case RepositoryNotFoundError():
            why = (
                f"the hub ({hub}) has no such model, or it is private: check the id; for a private "
                "model log in with `hf auth login`"
            )
        case RevisionNotFoundError():
            why = f"the hub has no revision {revision!r} of it: check the branch, tag or commit"
        case LocalEntryNotFoundError() if constants.HF_HUB_OFFLINE:
            why = (
                f"HF_HUB_OFFLINE is set, and not all of it is in the cache {cache}: unset it and "
                "run this once with a network, or set HF_HOME to the folder whose cache has it"
            )
        case LocalEntryNotFoundError():
            why = (
                f"the hub ({hub}) does not answer, and not all of it is in the cache {cache} "
                f"({said}): check the network and HF_ENDPOINT"
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            why = (
                f"there is no space left for it in the cache {cache}: free some, or set HF_HOME "
                "to a folder on another disk, and run this again"
            )
        case _:
            why = (
                f"its download from {hub} broke off ({said}): run this again, files that arrived "
                "complete are kept"
            )
    return why
