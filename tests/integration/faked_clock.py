"""A wall clock for daemons that the test sets: libfaketime, which leaves the monotonic clocks alone."""

import subprocess
import tempfile
import time
from pathlib import Path

DAY, HOUR = 86400, 3600

# AddressSanitizer's allocator asks for the time with a size class locked, when that class gets its first memory. The
# first such question makes libfaketime grow the environment, and where that takes memory of the same class, the
# program waits for itself before main: seen with 23 to 30 variables. So many are of a class that nothing else is.
PADDING = 500


def _libraries(program):
    """The sanitizer's runtime, if the program has one, must come first."""
    needed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    runtime = [line.split("=>")[1].split()[0] for line in needed.splitlines() if "asan" in line]
    faketime = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return " ".join([*runtime, str(faketime)])


class FakedClock:
    """`environment` is for the daemons; at first the time is the real one."""

    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory(prefix="km-clock-")
        self.file = Path(self.folder.name) / "time"
        self.offset = 0
        self.move(0)
        self.environment = {
            "LD_PRELOAD": _libraries(program), "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            **{f"FAKETIME_PADDING_{number}": "" for number in range(PADDING)}}

    def move(self, seconds):
        """The daemons' wall clocks jump by so many seconds at once."""
        self.offset += seconds
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self.offset:+d}\n")
        fresh.rename(self.file)

    def now_ms(self):
        return int((time.time() + self.offset) * 1000)

    def close(self):
        self.folder.cleanup()
