"""How hot a phone is and how fast its processors run, as far as it lets the shell read that."""

from dataclasses import dataclass

from nelf.bench.phone.adb import Adb

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
"""Prints "unit name value", a line each; what cannot be read is left out. Tests put a folder in /sys's place."""

PLAUSIBLE = range(-40, 151)  # °C; some zones report nonsense such as -273 or 0 for "not there"


@dataclass(frozen=True)
class Condition:
    """seconds: since measuring began. celsius: by zone, battery among them. mhz: by core, gpu among them."""

    seconds: float
    celsius: dict[str, float]
    mhz: dict[str, float]

    @property
    def hottest(self) -> float | None:
        """Of all zones; None where the phone tells none."""
        return max(self.celsius.values(), default=None)


def read_condition(adb: Adb, seconds: float) -> Condition:
    """Ask the phone now."""
    return parse_condition(adb.shell(SCRIPT, task="reading temperatures"), seconds)


def parse_condition(output: str, seconds: float) -> Condition:
    """What `SCRIPT` printed."""
    celsius: dict[str, float] = {}
    mhz: dict[str, float] = {}
    for line in output.splitlines():
        unit, _, rest = line.strip().partition(" ")
        name, _, value = rest.rpartition(" ")
        if not name or not value.lstrip("-").isdigit():
            continue
        number = int(value)
        if unit == "temperature":
            degrees = number / 1000 if abs(number) >= 1000 else float(number)  # the kernel's unit, or whole degrees
            if round(degrees) in PLAUSIBLE and number != 0:
                celsius[name] = max(degrees, celsius.get(name, degrees))
        elif unit == "tenth":
            celsius[name] = number / 10
        elif unit in ("khz", "hz"):
            mhz[name] = number / (1000 if unit == "khz" else 1e6)
    return Condition(seconds, celsius, mhz)
