"""Which views a report shows."""


def choose_views(by_psnr: list[str], count: int) -> dict[str, str]:
    """Up to `count` of the views, given from worst to best, each with why it was chosen.

    Worst, median and best come first, then always the one whose rank is farthest from those chosen: who stops early
    has shown the most telling ones.
    """
    last = len(by_psnr) - 1
    why = {0: "worst", last // 2: "median", last: "best"} if last > 1 else {0: "worst", last: "best"}
    chosen = dict(list(why.items())[:count])
    while len(chosen) < min(count, len(by_psnr)):
        rank = max(range(last + 1), key=lambda rank: min(abs(rank - other) for other in chosen))
        chosen[rank] = f"{rank + 1} of {last + 1} from the worst"
    return {by_psnr[rank]: reason for rank, reason in chosen.items()}
