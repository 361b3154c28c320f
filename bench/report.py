#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Merge what the benchmarks left in build/bench: results.json, report.md, plots (PNG and SVG).

Each benchmark writes NAME.json and NAME.md (or one of them); what is missing is said to be. Plots
show medians, and from the lowest to the highest as error bars.
"""
import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from results import DIRECTORY

compare_block = importlib.import_module("compare-block")
# name of the files: heading
PARTS = {
    "library-rxe": "Library against raw verbs",
    "compare-block-rxe": "Block device against its peers, rxe",
    "compare-block-siw": "Block device against its peers, siw",
    "compare-zstd": "Compressed tier against zram",
    "compare-swap-61": "Swap, two emulated machines with stock 6.1",
    "compare-fronts": "frontswap against the block device",
    "far": "Far memory",
    "scaling": "Scaling",
    "idle-cost": "When nothing is short",
}
TERMINALS = {"png": "pngcairo size 1000,560 font 'sans,11'",
             "svg": "svg size 1000,560 font 'sans,13' background 'white'"}


def point(values):
    """Median, lowest and highest, as gnuplot reads them."""
    return f"{statistics.median(values)} {min(values)} {max(values)}"


def bars(table, unit):
    """A plot: {group: {bar: [values]}} as clustered columns."""
    names = list(next(iter(table.values())))
    data = [f'"{group}" ' + " ".join(point(row[name]) for name in names)
            for group, row in table.items()]
    columns = ", ".join(f"$data using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}:xtic(1) "
                        f"title '{name}'" for i, name in enumerate(names))
    return data, [f"set ylabel '{unit}'", "set yrange [0:*]", "set xtics font ',9'",
                  "set style data histograms",
                  "set style histogram errorbars gap 1 lw 1", "set style fill solid 0.7",
                  f"plot {columns}"]


def lines(table, unit, what, logarithmic=False):
    """A plot: {line: {x: [values]}}."""
    xs = list(next(iter(table.values())))
    data = [f"{x} " + " ".join(point(row[x]) for row in table.values()) for x in xs]
    columns = ", ".join(f"$data using 1:{2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i} with yerrorlines "
                        f"lw 2 title '{name}'" for i, name in enumerate(table))
    return data, [f"set ylabel '{unit}'", f"set xlabel '{what}'", *(
        ["set logscale xy"] if logarithmic else ["set yrange [0:*]", "set xtics 1"]),
        f"plot {columns}"]


def draw(out, name, title, data, commands):
    """Let gnuplot write NAME.png and NAME.svg."""
    for ending, terminal in TERMINALS.items():
        script = [f"set terminal {terminal}", f"set output '{out}/{name}.{ending}'",
                  f"set title \"{title}\"", "set key outside below", "set grid ytics",
                  "$data << END", *data, "END", *commands]
        subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True,
                       stdout=subprocess.DEVNULL)


def plots_of_block(got):
    """Requests and bytes per second of the devices, and CPU that they cost."""
    for unit, name in (("iops", "iops"), ("MB/s", "bandwidth")):
        table = {row: {dev: [r["value"] for r in runs] for dev, runs in by_dev.items()}
                 for row, by_dev in got["rows"].items()
                 if compare_block.ROWS[row][3] == unit and "at a time" not in row}
        yield f"block-{name}", f"Block devices, {got['wire']}", bars(table, unit)
    for side in ("borrower", "donor"):
        key = f"{side}_cpu_s_per_gib"
        table = {row: {dev: [r[key] for r in runs if key in r] or [0]
                       for dev, runs in by_dev.items()} for row, by_dev in got["rows"].items()
                 if row in ("4K randread qd1", "4K randread qd32", "4K randwrite qd32")}
        yield f"block-cpu-{side}", f"CPU of the {side}", bars(table, "seconds per GiB")


def plots_of_library(got):
    """Latencies and bandwidths beside those of raw verbs."""
    for unit, name in (("µs", "latency"), ("MB/s", "bandwidth")):
        table = {row.rsplit(",", 1)[0]: {"raw verbs": r["verbs"], "library": r["library"]}
                 for row, r in got["rows"].items() if row.endswith(unit)}
        yield f"library-{name}", "Library against raw verbs", bars(table, unit)


def plots_of_zstd(got):
    """Mean latencies of the two compressed tiers at depth 1."""
    table = {row: {name: [r["mean_us"] for r in runs] for name, runs in by_name.items()}
             for row, by_name in got["rows"].items() if row.endswith("qd1")}
    yield "zstd", "Compressed tier, no donor", bars(table, "µs, mean")


def plots_of_swap(got):
    """Faults per second by swap device."""
    table = {"faults/s": {name: [r["faults"] for r in runs] for name, runs in got.items()}}
    yield "swap", "Swap, two emulated machines", bars(table, "faults per second")


def plots_of_fronts(got):
    """Faults per second by front."""
    fronts = {name: [pair[name]["faults"] for pair in got if name in pair]
              for name in ("block", "frontswap", "write-through")}
    yield "fronts", "frontswap and the block device", bars({"faults/s": fronts},
                                                          "faults per second")


def plots_of_scaling(got):
    """Pages per second over machines and threads; the index over stored pages."""
    for name, figures in got["curves"].items():
        table = {test.split()[0]: {n: [r["pages_per_s"] for r in runs]
                                   for n, runs in by_count.items()}
                 for test, by_count in figures.items()}
        yield (f"scaling-{name}", f"4 KiB pages, depth 32, by {name}",
               lines(table, "pages per second, all together", name))
    if got["stored"]:
        yield ("scaling-index", "Cost of an index",
               lines(got["stored"], "ns per operation", "stored pages", logarithmic=True))


def no_plots(_):
    """Of a part that is a table alone."""
    return ()


PLOTS = {"compare-block-rxe": plots_of_block, "library-rxe": plots_of_library,
         "compare-zstd": plots_of_zstd, "compare-swap-61": plots_of_swap,
         "compare-fronts": plots_of_fronts, "scaling": plots_of_scaling}


def main():
    """Returns the exit status: 1 if nothing has been measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    out = parser.parse_args().directory
    host = {"cpus": os.cpu_count(), "kernel": platform.release()}
    results = {"made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "host": host,
               "missing": [], "parts": {}}
    text = ["# Benchmarks", "", f"{host['cpus']} CPUs, Linux {host['kernel']}. "
            "Figures of different parts do not compare; ratios within a part do."]
    for name, heading in PARTS.items():
        file, table = out / f"{name}.json", out / f"{name}.md"
        if not file.exists() and not table.exists():
            results["missing"].append(name)
            continue
        got = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        made = (file if got else table).stat().st_mtime
        measured = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(made))
        results["parts"][name] = {"measured": measured, **(
            got if isinstance(got, dict) else {"runs": got})}
        text += ["", f"## {heading}", "", f"Measured {measured}.", ""]
        text += [table.read_text(encoding="utf-8").rstrip()] if table.exists() else []
        for plot, title, (data, commands) in PLOTS.get(name, no_plots)(got):
            draw(out, plot, title, data, commands)
            text += ["", f"![{title}]({plot}.svg)"]
    text += ["", "Not measured here: " + (", ".join(results["missing"]) or "nothing") + "."]
    (out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (out / "report.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print(f"{out}/report.md, results.json: {len(results['parts'])} parts, "
          f"{len(results['missing'])} missing")
    return 0 if results["parts"] else 1


if __name__ == "__main__":
    sys.exit(main())
