#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""style.py's own rules find what they should; the other judges are not ours to test."""
import unittest
from pathlib import Path

import kernel
import style

GPL = "// SPDX-License-Identifier: GPL-2.0-only\n"
DUAL = "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */\n"
HASH = "# SPDX-License-Identifier: GPL-2.0-only\n"

# path, text, part of the one complaint that is expected (None: all is well)
ROWS = (
    ("kmod/a.c", GPL + "int x;\n", None),
    ("core/a.h", DUAL, None),
    ("scripts/a.sh", "#!/bin/sh\n" + HASH, None),
    ("tests/vm/lab/__init__.py", "", None),
    ("kmod/a.c", "int x;\n", "no SPDX"),
    ("kmod/a.c", "\n" + GPL, "no SPDX"),
    ("scripts/a.sh", "#!/bin/sh\n", "no SPDX"),
    ("kmod/a.c", DUAL, "in this folder it is GPL-2.0-only"),
    ("core/a.c", GPL, "in this folder it is GPL-2.0-only OR BSD-3-Clause"),
    ("include/ramster/a.h", DUAL, "Linux-syscall-note"),
    ("libramster-rdma/a.c", GPL, "BSD-3-Clause"),
    ("kmod/a.c", GPL + "int x; \n", "white space"),
    ("kmod/a.c", GPL + "int x;\n\n", "one newline"),
    ("kmod/a.c", GPL + "int x;", "one newline"),
    ("kmod/a.c", GPL + "int x;\n" * 800, "801 lines"),
    ("tests/a.py", HASH + "#" * 101 + "\n", "101 columns"),
)

EXCUSES = (
    ("include/ramster/a.h:3: CHECK:BIT_MACRO: Prefer", True),
    ("kmod/a.c:3: CHECK:BIT_MACRO: Prefer", False),
    ("kmod/compat/a.h:3: WARNING:LINUX_VERSION_CODE: avoid", True),
    ("kmod/compatible.h:3: WARNING:LINUX_VERSION_CODE: avoid", False),
    ("checkpatch.pl: cannot read kmod/compat/a.h", False),
)


class Style(unittest.TestCase):
    def test_rows(self):
        for path, text, expected in ROWS:
            with self.subTest(path=path, expected=expected):
                found = list(style.problems(Path(path), text))
                self.assertEqual(len(found), 0 if expected is None else 1, found)
                self.assertTrue(expected is None or expected in found[0], found)

    def test_excuses(self):
        for line, expected in EXCUSES:
            with self.subTest(line=line):
                self.assertEqual(bool(kernel.excused(line)), expected)


if __name__ == "__main__":
    unittest.main()
