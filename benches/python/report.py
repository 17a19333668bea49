"""The table of a run. Not here: measuring."""

from __future__ import annotations

from typing import Any

_IMPORT_MOST = 120.0
_SIZE_MOST = 60.0
_COLUMNS = {
    "insert": "insert 1,000",
    "single": "one write",
    "search": "top 10",
    "filtered": "top 10 of a user",
    "list": "list 1,000",
}


def table(measured: dict[str, Any]) -> str:
    """Everything that was measured, as text."""
    parts = []
    if overhead := measured.get("overhead"):
        parts.append(_overhead(overhead))
    if footprint := measured.get("footprint"):
        parts.append(_footprint(footprint))
    if peers := measured.get("peers"):
        parts += [_peers(peers), _verdicts(peers)]
    parts += measured["notes"]
    return "\n\n".join(parts)


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def _overhead(overhead: dict[str, Any]) -> str:
    head = f"{'microseconds; load ' + _span(overhead['load']):<34}{'Python':>10}{'Rust':>10}{'ratio':>8}{'of cpu':>8}"
    lines = [head]
    for row in overhead["rows"]:
        python, rust = row["python_wall"], row["rust_wall"]
        line = f"{row['name']:<34}{python:>10,.0f}{rust:>10,.0f}{row['ratio_wall']:>8.2f}{row['ratio_cpu']:>8.2f}"
        if "most_ratio" in row:
            most = row["most_ratio"] * rust + row["most_added"]
            line += f"  at most {row['most_ratio']} x"
            line += f" + {row['most_added']:.0f} µs" if row["most_added"] else ""
            line += f" = {most:,.0f}: {_verdict(python <= most)}"
        lines.append(line)
    return "\n".join(lines)


def _footprint(footprint: dict[str, Any]) -> str:
    lines = [f"{'import, ms; load ' + format(footprint['load'], '.1f'):<34}"]
    for name, wall in footprint["imports"].items():
        verdict = f"  at most {_IMPORT_MOST:.0f}: {_verdict(wall <= _IMPORT_MOST)}" if name == "mnemic" else ""
        lines.append(f"{name:<34}{wall:>10.0f}{verdict}")
    size = footprint["installed_megabytes"]
    lines.append(f"{'wheel, MB':<34}{footprint['wheel_megabytes']:>10.1f}")
    lines.append(f"{'installed, MB':<34}{size:>10.1f}  at most {_SIZE_MOST:.0f}: {_verdict(size <= _SIZE_MOST)}")
    lines.append(f"\n{'with everything it needs':<34}{'import ms':>10}{'MB':>10}{'packages':>10}")
    for title, own in footprint["peers"].items():
        lines.append(f"{title:<34}{own['import_ms']:>10.0f}{own['megabytes']:>10.0f}{own['packages']:>10}")
    return "\n".join(lines)


def _peers(peers: dict[str, Any]) -> str:
    title = f"ms, {peers['size']:,} records; load {_span(peers['load'])}"
    lines = [
        f"{title:<34}" + "".join(f"{name:>22}" for name in _COLUMNS.values()) + f"{'recall':>8}  acknowledged means"
    ]
    for peer in peers["peers"]:
        line = f"{peer['title']:<34}"
        for row in _COLUMNS:
            own = peer["milliseconds"][row]
            line += f"{_figure(own['median']) + ' (' + _figure(own['p99']) + ')':>22}"
        lines.append(f"{line}{peer['recall']:>8.3f}  {peer['durable']}")
    lines.append("wall: median (99th percentile)")
    return "\n".join(lines)


def _verdicts(peers: dict[str, Any]) -> str:
    """Where Mnemic is ahead of each peer of its group, and where it is behind, as how often Mnemic's time fits into the peer's."""
    own = {peer["group"]: peer for peer in peers["peers"] if peer["name"].startswith("mnemic")}
    others = [peer for peer in peers["peers"] if not peer["name"].startswith("mnemic") and peer["group"] in own]
    lines = [f"{'times faster than':<34}" + "".join(f"{name:>22}" for name in _COLUMNS.values())]
    for peer in others:
        line = f"{peer['title']:<34}"
        for row in _COLUMNS:
            ours = own[peer["group"]]["milliseconds"][row]["median"]
            ratio = peer["milliseconds"][row]["median"] / ours
            line += f"{format(ratio, '.2f') + ('' if ratio >= 1 else ' BEHIND'):>22}"
        lines.append(line)
    return "\n".join(lines)


def _figure(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _span(loads: list[float]) -> str:
    return f"{min(loads):.1f} to {max(loads):.1f}"
