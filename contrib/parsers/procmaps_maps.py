#!/usr/bin/env python3
"""procmaps (a binding of the rsprocmaps crate) as a parser for `mapstorm consumer`."""

import os
import sys

import procmaps

for vma in procmaps.from_str(os.fsdecode(sys.stdin.buffer.read())):
    letters = [(vma.is_readable, "r"), (vma.is_writable, "w"), (vma.is_executable, "x")]
    perms = "".join(letter if has else "-" for has, letter in letters)
    perms += "s" if vma.is_shared else "p"
    major, minor = vma.device
    name = os.fsencode(vma.pathname or "").hex()
    start, end, offset = (f"{n:x}" for n in (vma.begin_address, vma.end_address, vma.offset))
    print(start, end, perms, offset, f"{major:x}", f"{minor:x}", vma.inode, name, sep="\t")
