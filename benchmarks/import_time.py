"""How long `import pipeserve_native` takes, and of what it consists.

    python benchmarks/import_time.py --runs 20

Every import is in a process of its own. Times are the medians and, as what other programs do on the
machine only adds to them, the smallest. Run it in an empty folder with the wheel installed.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys

CASES = {
    "numpy": ("", "import numpy"),
    "pipeserve_native": ("", "import pipeserve_native"),
    "pipeserve_native after numpy": ("import numpy", "import pipeserve_native"),
    "... server and client, too": (
        "",
        "import numpy, pipeserve_native.server, pipeserve_native.client",
    ),
}
TIMED = (
    "import time; {first}\nbegin = time.perf_counter(); {then}\nprint(time.perf_counter() - begin)"
)


def seconds(first: str, then: str) -> float:
    """What one import takes, in a new process."""
    program = TIMED.format(first=first, then=then)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def largest_parts(count: int) -> list[tuple[int, str]]:
    """The modules whose own code takes longest, in microseconds, by -X importtime."""
    command = [sys.executable, "-X", "importtime", "-c", "import pipeserve_native"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    parts = re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", lines)
    return sorted(((int(own), name) for own, name in parts), reverse=True)[:count]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(args.runs + 1):  # In turn, so that what else runs hits all of them.
        for name, (first, then) in CASES.items():
            times[name].append(seconds(first, then))
    print(f"{'import':32} {'median ms':>10} {'smallest ms':>12}")
    for name, values in times.items():
        kept = values[1:]  # The first one reads files from the disk.
        print(f"{name:32} {statistics.median(kept) * 1e3:10.1f} {min(kept) * 1e3:12.1f}")
    print("\nown time of the largest parts, microseconds:")
    for own, name in largest_parts(8):
        print(f"{own:8} {name}")


if __name__ == "__main__":
    main()
