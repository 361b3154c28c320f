# SPDX-License-Identifier: GPL-2.0-only
"""What moving pages costs: CPU of both sides, the broker's, bytes on the wire.

    meter = Meter(donor, borrower)
    before = meter.read()
    ...                                 # moves so many bytes
    cost = meter.since(before, bytes)   # COLUMNS: figures

For user-mode nodes and emulated machines; link is their network device. CPU is what the host has
spent for a machine, all of it: emulation, kernel, software RDMA, program. So it holds what starting
the measuring program takes too, the same for all that are compared. The wire's bytes are those
of the borrower's link, both directions.
"""
GIB = 1 << 30
PAGE = 4096
# key: what it is
COLUMNS = {
    "borrower_cpu_s_per_gib": "borrower's CPU, s/GiB",
    "donor_cpu_s_per_gib": "donor's CPU, s/GiB",
    "broker_cpu_s_per_gib": "of it the broker process, s/GiB",
    "wire_bytes_per_page": "bytes on the wire per 4 KiB",
}
TICKS = 100     # a second, in /proc/*/stat of the nodes


class Meter:
    """Of a borrower and a donor that are nodes; the donor may have no broker."""

    def __init__(self, donor, borrower, link="vec0"):
        self._donor, self._borrower, self._link = donor, borrower, link
        pid = donor.sh("pgrep -x ramsterd")[1].split()
        self._broker = pid[0] if pid else None

    def read(self):
        """All counters of now."""
        wire = self._borrower.check(f"cat /sys/class/net/{self._link}/statistics/[rt]x_bytes")
        broker = 0
        if self._broker:
            stat = self._donor.check(f"cat /proc/{self._broker}/stat").rsplit(")", 1)[1].split()
            broker = (int(stat[11]) + int(stat[12])) / TICKS
        return {"borrower": self._borrower.cpu_seconds(), "donor": self._donor.cpu_seconds(),
                "broker": broker, "wire": sum(map(int, wire.split()))}

    def since(self, before, moved):
        """The cost of moved bytes since before."""
        now = self.read()
        spent = {key: now[key] - before[key] for key in now}
        cost = {f"{who}_cpu_s_per_gib": spent[who] * GIB / moved
                for who in ("borrower", "donor", "broker")}
        cost["wire_bytes_per_page"] = spent["wire"] * PAGE / moved
        return cost
