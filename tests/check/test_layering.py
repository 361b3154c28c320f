#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""layering.py finds what it should: each row plants one file in a clean small tree."""
import sys
import tempfile
import unittest
from pathlib import Path

import layering

CLEAN = {
    "include/ramster/ramster_wire.h": "#include <linux/types.h>\nstruct w { __le32 x; };\n",
    "core/port.h": "#include <stdint.h>\n#include <linux/string.h>\n",
    "core/wire.h": '#include "port.h"\n#include "../include/ramster/ramster_wire.h"\n',
    "core/wire.c": '#include "wire.h"\n/* malloc(1) in a comment */\nchar *s = "printf(1)";\n',
    "kmod/verbs.c": '#include <rdma/rdma_cm.h>\n#include "../core/wire.h"\n',
    "kmod/compat/kernel.h": "#include <linux/version.h>\n#if LINUX_VERSION_CODE\n#endif\n",
    "rdma-broker/verbs.c": "#include <infiniband/verbs.h>\n",
    "rdma-broker/log.h": "",
    "bench/perf.c": '#include <ramster/ramster_wire.h>\n#include "wire.h"\n',
}

# path, text, part of the one violation that is expected (None: all is well)
ROWS = (
    ("kmod/pool.c", '#include "../core/wire.h"\n#include <linux/slab.h>\n', None),
    ("core/a.c", '#include "wire.h"\nint freely(void); int lifetime(int clocks);\n', None),
    ("tests/vm/bad.c", "#include <rdma/rdma_cma.h>\n", None),
    ("tests/unit/bad.c", "#include <rdma/rdma_cma.h>\n", "rdma/rdma_cma.h"),
    ("include/ramster/b.h", "#include <linux/types.h>\n#include <errno.h>\n", "errno.h"),
    ("include/ramster/b.h", '#include "ramster_wire.h"\n', "ramster_wire.h"),
    ("include/ramster/ramster_rdma.h", "#include <stdint.h>\nuint32_t f(void);\n", None),
    ("include/ramster/ramster_rdma.h", "#include <stdio.h>\n", "stdio.h"),
    ("libramster-rdma/cm.c", "#include <rdma/rdma_cma.h>\n", None),
    ("libramster-rdma/lane.c", "#include <infiniband/verbs.h>\n", "infiniband/verbs.h"),
    ("libramster-rdma/pool.c", '#include "../kmod/pool.h"\n', "pool.h"),
    ("include/ramster/b.h", "struct b { __u32 x; };\n", "compile alone with gcc"),
    ("include/ramster/b.h", "struct b { int class; };\n", "compile alone with g++"),
    ("core/a.c", "#include <stdlib.h>\n", "stdlib.h"),
    ("core/a.c", "# include <linux/slab.h>\n", "linux/slab.h"),
    ("core/a.c", '#include "../rdma-broker/log.h"\n', "log.h"),
    ("core/a.c", '#include "missing.h"\n', "missing.h"),
    ("core/a.c", "void *f(void) { return malloc(4); }\n", "malloc"),
    ("core/a.c", "void f(void) { pr_info(1); }\n", "pr_info"),
    ("core/a.c", "long f(void) { return jiffies; }\n", "jiffies"),
    ("core/a.c", "void f(void) { spin_lock(0); }\n", "spin_lock"),
    ("core/a.h", "static inline long f(void) { return time (0); }\n", "time"),
    ("kmod/session.c", "#include <rdma/ib_verbs.h>\n", "rdma/ib_verbs.h"),
    ("kmod/verbs.h", "#include <rdma/ib_verbs.h>\n", "rdma/ib_verbs.h"),
    ("rdma-broker/client.c", "#include <infiniband/verbs.h>\n", "infiniband/verbs.h"),
    ("bench/perf2.c", "\t#\tinclude\t<rdma/rdma_cma.h>\n", "rdma/rdma_cma.h"),
    ("core/a.h", '#include "port.h"\n#if KERNEL_VERSION\n#endif\n', "KERNEL_VERSION"),
    ("kmod/pool.c", "#include <linux/version.h>\n", "linux/version.h"),
    ("kmod/pool.c", "#if LINUX_VERSION_CODE > 1\n#endif\n", "LINUX_VERSION_CODE"),
    ("kmod/pool.c", '#include "../rdma-broker/log.h"\n', "rdma-broker/log.h"),
    ("rdma-broker/a.c", '#include "../kmod/compat/kernel.h"\n', "kmod/compat/kernel.h"),
    ("bench/a.c", '#include "../rdma-broker/log.h"\n', "rdma-broker/log.h"),
    ("bench/a.c", '#include "nowhere.h"\n', "nowhere.h"),
)


class Layering(unittest.TestCase):
    def _violations(self, planted):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            for name, text in {**CLEAN, **planted}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding="ascii")
            return layering.violations(root)[0]

    def test_rows(self):
        for path, text, expected in ROWS:
            with self.subTest(path=path, text=text):
                found = self._violations({path: text})
                if expected is None:
                    self.assertEqual(found, [])
                else:
                    self.assertTrue(found)
                    for line in found:
                        self.assertTrue(line.startswith(path + " "), line)
                    self.assertTrue(any(expected in line for line in found), found)

    def test_empty_tree_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            sys.argv = ["layering.py", folder]
            self.assertEqual(layering.main(), 1)


if __name__ == "__main__":
    unittest.main()
