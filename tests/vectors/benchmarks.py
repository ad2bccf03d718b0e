"""benchmark.json: times of pictures, and the report that the page and both apps make of them.

Numbers of seconds are binary fractions, so that every language adds them without rounding.
"""

import math
from typing import Any

BEGIN = 100.0
"""Of every case's clock, in seconds: nobody's clock begins at 0."""
DEVICE = {"type": "app", "manufacturer": "Example", "model": 'Phone "1"', "soc": "", "os": "Example 15", "app": "0.1.0"}
SAMPLE_SECONDS = 10.0
NOTHING = {"thermal_status": None, "headroom": None, "battery_celsius": None, "battery_percent": None,
           "battery_milliamperes": None, "battery_volts": None, "charging": None}  # fmt: skip


def nearest_rank(percent: float, values: list[float]) -> float:
    """The first of the sorted values that `percent` of them do not exceed."""
    return sorted(values)[max(math.ceil(percent / 100 * len(values)), 1) - 1]


def windows(frames: list[tuple[float, float]]) -> list[dict[str, float]]:
    """The whole seconds of a phase. frames: milliseconds, and when they were done, in seconds from the phase's start.

    The last frame opens a second that is never whole. In a second without a frame one takes at least that second.
    """
    found = []
    for second in range(math.floor(frames[-1][1]) if frames else 0):
        times = [ms for ms, past in frames if second <= past < second + 1]
        found.append({"second": second, "frames": len(times), "median": nearest_rank(50, times) if times else 1000.0})
    return found


def result(case: dict[str, Any]) -> dict[str, Any] | None:
    """What the page and the apps make of a case, written to be read; None if no frame counts."""
    frames = [(ms, at) for ms, at in case["frames"]]
    phases: list[list[tuple[float, float]]] = []
    start, sampled, conditions, begun = BEGIN, list(case["conditions"]), [], None
    for length in (case["warm_up_seconds"], case["seconds"], 60 * (case["minutes"] or 0)):
        phase = []
        if len(phases) == 1:
            begun = start
        while length and frames:
            ms, at = frames.pop(0)
            phase.append((ms, at - start))
            if at - start >= length:
                start = at
                break
        phases.append(phase)
    _, measured, sustained = phases
    if not measured:
        return None
    assert begun is not None
    last = begun + measured[-1][1]
    moments = [0.0]
    for past in [past for _, past in measured] + [last - begun + past for _, past in sustained]:
        if past >= moments[-1] - moments[-1] % SAMPLE_SECONDS + SAMPLE_SECONDS:
            moments.append(past)
    for moment in moments:
        conditions.append({"second": moment, **sampled.pop(0)})
    times = [ms for ms, _ in measured]
    return {
        "frames": len(times),
        "rate": len(times) / measured[-1][1] if measured[-1][1] > 0 else 0.0,
        "latency": {
            "median": nearest_rank(50, times),
            "p90": nearest_rank(90, times),
            "p95": nearest_rank(95, times),
            "mean": math.fsum(times) / len(times),
        },
        "sustained": windows(sustained or measured),
        "conditions": conditions,
    }


def _every(step: float, count: int, first: float = BEGIN) -> list[float]:
    return [first + step * (i + 1) for i in range(count)]


def _case(name: str, frames: list[list[float]], **changed: Any) -> dict[str, Any]:
    case: dict[str, Any] = {
        "name": name, "warm_up_seconds": 1.0, "seconds": 2.0, "minutes": None, "frames": frames,
        "conditions": [NOTHING], "stopped": None,
    } | changed  # fmt: skip
    found = result(case)
    whole = case["warm_up_seconds"] + case["seconds"] + 60 * (case["minutes"] or 0)
    finished = case["stopped"] is None and bool(frames) and frames[-1][1] - BEGIN >= whole
    fixed = {
        "bundle": "vectors", "model_sha256": "ab" * 32, "backend": "gpu",
        "passed_over": [{"backend": "npu", "reason": "no driver"}], "threads": 0, "load_milliseconds": 412.5,
        "first_frame_milliseconds": 442.75, "memory_mb": 182.5, "golden_psnr": None,
    }  # fmt: skip
    plan = {key: case[key] for key in ("warm_up_seconds", "seconds", "minutes")}
    case["report"] = {
        "protocol": 2, "token": "6f1c", "plan": plan, "finished": finished, "stopped": case["stopped"],
        "device": DEVICE, "results": [fixed | found] if found else [], "visible": case["stopped"] is None,
    }  # fmt: skip
    return case


def benchmark_cases() -> dict[str, Any]:
    """The content of benchmark.json."""
    times = [4.0 + (7 * i) % 10 for i in range(60)]
    steady = [[ms, at] for ms, at in zip(times[:24], _every(0.125, 24), strict=True)]
    hot = {"thermal_status": 3, "headroom": 1.25, "battery_celsius": 41.5, "battery_percent": 79.0,
           "battery_milliamperes": 812.5, "battery_volts": 3.75, "charging": False}  # fmt: skip
    minute = [[ms, at] for ms, at in zip(times, _every(0.5, 60), strict=True)]
    gap = [[500.0, 101.0], [5.0, 101.25], [6.0, 103.5], [8.0, 104.0]]
    return {
        "begin": BEGIN,
        "tolerance": 1e-9,
        "cases": [
            _case("a measured time", steady),
            _case("a sustained run, with conditions", minute, seconds=9.0, minutes=1 / 3, warm_up_seconds=1.0,
                  conditions=[NOTHING, hot, NOTHING | {"battery_percent": 78.0}]),
            _case("no warm-up", steady[:16], warm_up_seconds=0.0),
            _case("a second without a frame", gap, seconds=3.0),
            _case("cut short", steady[:13], stopped="the screen was left"),
            _case("cut short in the sustained run", minute[:43], seconds=9.0, minutes=1.0, stopped="it was left",
                  conditions=[NOTHING, hot, NOTHING]),
            _case("cut short while warming up", steady[:4], stopped="the screen was left", conditions=[]),
            _case("one frame that is longer than all", [[5000.0, 105.0], [5000.0, 110.0]]),
            _case("still running", steady[:20]),
        ],
    }  # fmt: skip
