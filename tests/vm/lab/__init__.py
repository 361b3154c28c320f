# SPDX-License-Identifier: GPL-2.0-only
"""Machines to test on, emulated or user-mode, and what the tests do with them."""
