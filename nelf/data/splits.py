"""Which view belongs to training, validation and test. No view is ever in two of them."""

from collections.abc import Sequence

from nelf.data.capture import Frame, Problem
from nelf.data.config import SceneConfig

SPLITS = ("train", "val", "test")


def split_frames(
    frames: Sequence[Frame], config: SceneConfig, need: Sequence[str], want: Sequence[str]
) -> tuple[dict[str, list[int]], list[Problem]]:
    """Indices of the frames of each split.

    Where the format has no split, views 0, n, 2n, ... are test views (n = holdout, LLFF's rule), and of the others
    every val_holdout-th is a validation view. Where it has one, a validation split that is needed or wanted, and
    absent, is taken out of the training views. That what is needed is empty is a fatal problem.
    """
    problems: list[Problem] = []
    if any(frame.split for frame in frames):
        chosen = {split: [i for i, frame in enumerate(frames) if frame.split == split] for split in SPLITS}
        if "val" in (*need, *want) and not chosen["val"] and config.val_holdout:
            chosen["train"], chosen["val"] = _take_out(chosen["train"], config.val_holdout)
        if chosen["val"] and not any(frame.split == "val" for frame in frames):
            problems.append(
                Problem(
                    f"the scene has no val views; {len(chosen['val'])} of the training views are used instead",
                    "add a val split, or set scene.val_holdout to hold out more or fewer",
                )
            )
    else:
        everything = range(len(frames))
        test = [i for i in everything if config.holdout and i % config.holdout == 0]
        rest = [i for i in everything if i not in set(test)]
        train, val = _take_out(rest, config.val_holdout) if config.val_holdout else (rest, [])
        chosen = {"train": train, "val": val, "test": test}
    return chosen, [_empty(split, frames) for split in need if not chosen[split]] + problems


def _take_out(indices: list[int], every: int) -> tuple[list[int], list[int]]:
    """What stays, and every n-th from the middle of each run of n; one at least where two stay for training."""
    offset = min(every, len(indices)) // 2
    taken = indices[offset::every] if len(indices) > 2 else []
    return [i for i in indices if i not in set(taken)], taken


def _empty(split: str, frames: Sequence[Frame]) -> Problem:
    what = f"no {split} views among the {len(frames)} that were found"
    if any(frame.split for frame in frames):
        remedy = f"add transforms_{split}.json, or {split}_filenames to transforms.json, with at least one view"
        command = "nelf train {scene}" if split == "test" else ""
    elif split == "train":
        remedy = "give at least 3, so that some can be held out, or set scene.holdout=0 and `nelf train` on all"
        command = "nelf train {scene} scene.holdout=0"
    else:
        key = "scene.holdout" if split == "test" else "scene.val_holdout"
        remedy = f"set {key} to 2 or more (every n-th view is held out), and give at least 3 views"
        command = f"nelf run {{scene}} {key}=8"
    return Problem(what, remedy, fatal=True, command=command)
