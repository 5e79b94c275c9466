#!/usr/bin/env python3
"""psutil as a parser for `mapstorm consumer --smaps`: a text on stdin, a line for each vma on stdout.

psutil reads smaps files of a folder like /proc only, and tells neither offset nor device nor inode: they are
taken from the header that it read.
"""

import os
import re
import sys
import tempfile

import psutil

text = sys.stdin.buffer.read()
if os.environ.get("MAPSTORM_FORMAT") == "maps":
    # What psutil looks for in smaps, with nothing in it.
    details = b"Rss: 0 kB\nSize: 0 kB\nPss: 0 kB\n"
    text = b"".join(line + b"\n" + details for line in text.split(b"\n") if line)
with tempfile.TemporaryDirectory() as proc:
    process = psutil.Process()
    os.mkdir(f"{proc}/{process.pid}")
    with open(f"{proc}/{process.pid}/smaps", "wb") as file:
        file.write(text)
    process._proc._procfs_path = proc
    maps = process.memory_maps(grouped=False)
headers = re.findall(rb"^([0-9a-f]+-[0-9a-f]+) \S+ (\S+) (\S+):(\S+) (\d+)", text, re.MULTILINE)
fields = {header[0].decode(): header[1:] for header in headers}
for vma in maps:
    start, end = vma.addr.split("-")
    offset, major, minor, inode = (part.decode() for part in fields[vma.addr])
    name = "" if vma.path == "[anon]" else vma.path
    print(start, end, vma.perms, offset, major, minor, inode, os.fsencode(name).hex(), sep="\t")
