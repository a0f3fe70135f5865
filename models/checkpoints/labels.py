"""The classes of a checkpoint and of a dataset meet by name, whatever their case and order."""

from __future__ import annotations

from collections.abc import Sequence


def match_labels(
    checkpoint_names: Sequence[str], dataset_names: Sequence[str]
) -> tuple[int, ...] | str:
    """Where each class of the dataset stands among the checkpoint's.

    Spaces around a name and its case do not count, unless two names of one side differ in nothing
    else.

    Returns:
        For each class of the dataset, in its order, the index of the checkpoint's logit; so
        ``logits[:, permutation]`` are in the dataset's order. Or one sentence that says why the
        classes do not meet and what to type.
    """
    ours, theirs = list(checkpoint_names), list(dataset_names)
    if sorted(ours) != sorted(theirs):
        ours, theirs = ([_plain(name) for name in names] for names in (ours, theirs))
    for side, names, plain in (
        ("checkpoint", checkpoint_names, ours),
        ("texts", dataset_names, theirs),
    ):
        if len(set(plain)) < len(plain):
            return f"two classes of the {side} have one name: {', '.join(names)}"
    if sorted(ours) == sorted(theirs):
        return tuple(ours.index(name) for name in theirs)
    said = (
        f"the classes of the checkpoint are {', '.join(checkpoint_names)}, those of the texts "
        f"{', '.join(dataset_names)}"
    )
    if len(ours) != len(theirs):
        return f"{said}: choose texts whose classes are the checkpoint's {len(ours)} (--dataset)"
    return (
        f"{said}: name the checkpoint's as the texts', in the order of its logits: "
        f"--labels {','.join(dataset_names)} (in this order only if its logits have it)"
    )


def _plain(name: str) -> str:
    return name.strip().casefold()
