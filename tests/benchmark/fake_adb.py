"""A fake adb, which tests put on the PATH. It answers as FAKE_ADB (a JSON file) says.

The answers follow the documented formats; no phone was involved. Each call is appended to FAKE_ADB_LOG.
"""

import json
import os
import sys
from pathlib import Path

STATE = json.loads(Path(os.environ["FAKE_ADB"]).read_text())


def main(arguments: list[str]) -> int:
    with Path(os.environ["FAKE_ADB_LOG"]).open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    if arguments == ["devices"]:
        print("List of devices attached")
        print("\n".join(f"{serial}\t{state}" for serial, state in STATE["devices"].items()))
        return 0
    if len(Path(os.environ["FAKE_ADB_LOG"]).read_text().splitlines()) > STATE.get("gone_after", 10**6):
        print(f"adb: device '{arguments[1]}' not found", file=sys.stderr)
        return 1
    serial, command, *rest = arguments[1:]
    assert arguments[0] == "-s"
    assert serial in STATE["devices"]
    if command == "push":
        return push(*rest)
    assert command == "shell"
    return shell(rest[0])


def push(local: str, remote: str) -> int:
    if STATE.get("full"):
        print(f"adb: error: failed to copy '{local}' to '{remote}': remote write failed: No space left on device",
              file=sys.stderr)  # fmt: skip
        return 1
    assert Path(local).exists(), local
    print(f"{local}: 1 file pushed, 0 skipped. 35.1 MB/s (6137740 bytes in 0.167s)")
    return 0


def shell(script: str) -> int:
    for part, answer in STATE["answers"].items():
        if part in script:
            print(answer.replace("TOKEN", token()))
            return int(STATE.get("codes", {}).get(part, 0))
    return 0


def token() -> str:
    """The token of the last intent."""
    calls = [json.loads(line) for line in Path(os.environ["FAKE_ADB_LOG"]).read_text().splitlines()]
    started = [call[-1] for call in calls if "--es token " in call[-1]]
    return started[-1].partition("--es token ")[2].split()[0] if started else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
