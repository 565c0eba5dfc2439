"""Puts the licences of the libraries in a wheel into it, as their owners ask.

auditwheel lists the Debian packages that the libraries come from; each has its copyright file on
this machine, which may point to a licence that Debian keeps once for all packages.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil

DOCUMENTS = pathlib.Path("/usr/share/doc")
COMMON = pathlib.Path("/usr/share/common-licenses")


def packages(dist_info: pathlib.Path) -> list[str]:
    """The Debian packages in the list that auditwheel wrote."""
    components = json.loads((dist_info / "sboms" / "auditwheel.cdx.json").read_text())["components"]
    return sorted({each["name"] for each in components if each["purl"].startswith("pkg:deb/")})


def add_notices(dist_info: pathlib.Path) -> int:
    """Copies the files into the wheel's folder of licences; how many packages there are."""
    target = dist_info / "licenses" / "third_party"
    target.mkdir(parents=True, exist_ok=True)
    found = packages(dist_info)
    for package in found:
        notice = DOCUMENTS / package / "copyright"
        shutil.copyfile(notice, target / package)
        for name in re.findall(rf"{COMMON}/([\w.-]*\w)", notice.read_text(errors="replace")):
            shutil.copyfile(COMMON / name, target / name)
    return len(found)
