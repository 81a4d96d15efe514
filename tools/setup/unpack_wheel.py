"""Unpacks members of a wheel, checking each against the wheel's RECORD.

    python3 unpack_wheel.py WHEEL DESTINATION PREFIX=TARGET ...

A member whose name starts with PREFIX is written to DESTINATION/TARGET + the rest of its name. Prints
`lapidary-progress DONE TOTAL` (bytes) as it goes and `lapidary-manifest {target: {size, sha256}}` (JSON) at the end. Other output, such
as that of a wrapper of Python, does not begin with these marks.
"""

import base64
import csv
import hashlib
import io
import json
import os
import sys
import time
import zipfile


def main(wheel, destination, *mappings):
    pairs = [mapping.split("=", 1) for mapping in mappings]
    with zipfile.ZipFile(wheel) as archive:
        record_name = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        record = {row[0]: row[1] for row in csv.reader(io.StringIO(archive.read(record_name).decode("utf-8"))) if row}
        wanted = []
        for member in archive.infolist():
            for prefix, target in pairs:
                if member.filename.startswith(prefix) and not member.is_dir():
                    wanted.append((member, target + member.filename[len(prefix):]))
                    break
        if not wanted:
            sys.exit(f"{wheel} holds none of {[prefix for prefix, _ in pairs]}")
        total = sum(member.file_size for member, _ in wanted)
        done = 0
        said = 0.0
        manifest = {}
        for member, target in wanted:
            path = os.path.join(destination, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            digest = hashlib.sha256()
            with archive.open(member) as source, open(path, "wb") as sink:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    sink.write(chunk)
                    done += len(chunk)
                    if time.monotonic() - said > 0.2:
                        said = time.monotonic()
                        print(f"\nlapidary-progress {done} {total}", flush=True)
            if (member.external_attr >> 16) & 0o100:
                os.chmod(path, 0o755)
            expected = record.get(member.filename, "")
            actual = "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")
            if expected.startswith("sha256=") and expected.rstrip("=") != actual:
                sys.exit(f"{member.filename} in {wheel} is damaged: {actual}, RECORD says {expected}")
            manifest[target] = {"size": member.file_size, "sha256": digest.hexdigest()}
    print(f"\nlapidary-manifest {json.dumps(manifest)}", flush=True)


main(*sys.argv[1:])
