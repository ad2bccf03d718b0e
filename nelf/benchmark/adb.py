"""A phone over adb, with its temperatures and battery."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nelf.core.errors import BenchError, Interrupted

NO_ADB = "adb was not found; install Android's platform-tools and put adb on the PATH"
STATES: Mapping[str, str] = {
    "unauthorized": "has not allowed this computer; unlock it and answer its question about USB debugging",
    "offline": "is offline; plug it in again, or: adb reconnect",
    "authorizing": "is waiting for your answer about USB debugging; unlock it, answer, and run the command again",
    "no permissions": "may not be opened by this user: https://developer.android.com/studio/run/device (udev rules)",
}
KEPT_CHARACTERS = 300
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True)
class Adb:
    """One phone. `serial` is adb's name for it."""

    serial: str

    def run(self, *arguments: str, seconds: float = DEFAULT_SECONDS, task: str = "") -> str:
        """Output of an adb command. Raises BenchError if it fails. task: its purpose, for the message."""
        return _adb(["-s", self.serial, *arguments], seconds, f"{self.serial}: {task or ' '.join(arguments)}")

    def shell(self, script: str, seconds: float = DEFAULT_SECONDS, task: str = "") -> str:
        """Output of a shell script on the phone, stderr included. Raises BenchError."""
        return self.run("shell", f"{script} 2>&1", seconds=seconds, task=task or script)

    def push(self, local: Path, remote: str) -> None:
        """Copy a file, or the content of a folder."""
        self.run("push", str(local), remote, seconds=600.0, task=f"pushing {local.name} to {remote}")

    @contextlib.contextmanager
    def removing(self, path: str, report_line: Callable[[str], None]) -> Iterator[None]:
        """Remove `path` after the block. A failure to remove is reported, and hides no earlier error."""
        try:
            yield
        finally:
            try:
                self.shell(f"rm -rf {path}")
            except BenchError as error:
                with contextlib.suppress(Interrupted):
                    report_line(f"{path} may be left on the phone: {error}")

    def property(self, name: str) -> str:
        """A system property; empty if the phone does not have it."""
        return self.shell(f"getprop {name}").strip()


def connect(serial: str | None) -> Adb:
    """The phone with that serial number, or the only one. Raises BenchError unless exactly one is ready."""
    devices = _devices()
    listed = ", ".join(devices)
    if serial is not None:
        if serial not in devices:
            there = f"adb sees {listed}" if devices else "adb sees no device"
            raise BenchError(f"--device adb:{serial}: {there}; adb devices lists what is connected")
        chosen = serial
    elif not devices:
        raise BenchError("adb sees no device; connect a phone with USB debugging enabled (adb devices lists it)")
    elif len(devices) > 1:
        raise BenchError(f"adb sees {len(devices)} devices ({listed}); choose one: --device adb:{next(iter(devices))}")
    else:
        (chosen,) = devices
    state = devices[chosen]
    if state != "device":
        raise BenchError(f"{chosen} {STATES.get(state, f'is in state {state!r}; adb devices shows it')}")
    return Adb(chosen)


def _devices() -> dict[str, str]:
    """Serial number -> state."""
    found = {}
    for line in _adb(["devices"], DEFAULT_SECONDS, "adb devices").splitlines():
        serial, tab, state = line.partition("\t")
        if tab and serial.strip():
            found[serial.strip()] = "no permissions" if state.startswith("no permissions") else state.strip()
    return found


def _adb(arguments: list[str], seconds: float, task: str) -> str:
    program = shutil.which("adb")
    if program is None:
        raise BenchError(NO_ADB)
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BenchError(
            f"{task}: adb gave no answer within {seconds:.0f} s; is the phone awake and connected?"
        ) from None
    except OSError as error:
        raise BenchError(f"{program} cannot be started: {error.strerror}") from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-KEPT_CHARACTERS:] or "it said nothing"
        raise BenchError(f"{task} failed (code {done.returncode}): {said}")
    return done.stdout


SCRIPT = r"""
s=${NELF_SYSFS:-/sys}
for z in $s/class/thermal/thermal_zone*; do
  [ -r $z/temp ] && [ -r $z/type ] && echo "temperature $(cat $z/type) $(cat $z/temp)"
done
for c in $s/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq; do
  [ -r $c ] && n=${c#$s/devices/system/cpu/} && echo "khz ${n%%/*} $(cat $c)"
done
for g in $s/class/kgsl/kgsl-3d0/gpuclk $s/class/devfreq/*gpu*/cur_freq $s/class/devfreq/*mali*/cur_freq; do
  [ -r $g ] && echo "hz gpu $(cat $g)"
done
dumpsys battery | while read name value; do [ "$name" = "temperature:" ] && echo "tenth battery $value"; done
true
"""
"""Prints one line "unit name value" for everything it can read. Tests put a folder in place of /sys."""

PLAUSIBLE = range(-40, 151)  # °C; some zones report nonsense such as -273 or 0 for "missing"


@dataclass(frozen=True)
class Condition:
    """seconds: since measuring began. celsius: by zone, battery included. mhz: by core, gpu included."""

    seconds: float
    celsius: dict[str, float]
    mhz: dict[str, float]

    @property
    def hottest(self) -> float | None:
        """Temperature of the hottest zone; None if the phone reports none."""
        return max(self.celsius.values(), default=None)


def read_condition(adb: Adb, seconds: float) -> Condition:
    """Read the phone's current temperatures and frequencies."""
    return parse_condition(adb.shell(SCRIPT, task="reading temperatures"), seconds)


def parse_condition(output: str, seconds: float) -> Condition:
    """Parse the output of `SCRIPT`."""
    celsius: dict[str, float] = {}
    mhz: dict[str, float] = {}
    for line in output.splitlines():
        unit, _, rest = line.strip().partition(" ")
        name, _, value = rest.rpartition(" ")
        if not name or not value.lstrip("-").isdigit():
            continue
        number = int(value)
        if unit == "temperature":
            degrees = number / 1000 if abs(number) >= 1000 else float(number)  # millidegrees, or whole degrees
            if round(degrees) in PLAUSIBLE and number != 0:
                celsius[name] = max(degrees, celsius.get(name, degrees))
        elif unit == "tenth":
            celsius[name] = number / 10
        elif unit in ("khz", "hz"):
            mhz[name] = number / (1000 if unit == "khz" else 1e6)
    return Condition(seconds, celsius, mhz)
