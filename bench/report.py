"""Figures into a table and a picture."""

import platform
import statistics
import subprocess
from pathlib import Path

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def median(values):
    return statistics.median(values) if values else float("nan")


def machine() -> str:
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    cores = subprocess.run(["nproc"], capture_output=True, text=True).stdout.strip()
    return f"{cores} cores of {cpu}, Linux {platform.release()}"


def table(results: dict) -> str:
    """Markdown. Each ratio is of medians of one run, on the same work."""
    lines = [
        f"Measured {results['date']} on {results['machine']}; {results['versions']}; medians of {results['rounds']} rounds.",
        "",
        "| work | direct | PgBouncer | gateway | gateway / direct | gateway / PgBouncer | CPU s per 100k: PgBouncer | gateway |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results["throughput"]:
        direct, bouncer, gateway = (median(row["tps"][way]) for way in ("direct", "pgbouncer", "gateway"))
        cost = [f"{median(row['cpu'][way]):.2f}" for way in ("pgbouncer", "gateway")]
        lines.append(
            f"| {row['work']} | {direct:,.0f} tps | {bouncer:,.0f} | {gateway:,.0f} | {gateway / direct:.2f} | **{gateway / bouncer:.2f}** | {cost[0]} | {cost[1]} |"
        )
    for row in results["transfer"]:
        direct, bouncer, gateway = (median(row["seconds"][way]) for way in ("direct", "pgbouncer", "gateway"))
        lines.append(
            f"| {row['work']} | {direct:.2f} s | {bouncer:.2f} s | {gateway:.2f} s | {direct / gateway:.2f} | **{bouncer / gateway:.2f}** | | |"
        )
    for row in results["latency"]:
        direct, bouncer, gateway = (median(row["p99"][way]) for way in ("direct", "pgbouncer", "gateway"))
        lines.append(
            f"| {row['work']} | {direct:.2f} ms | {bouncer:.2f} ms | {gateway:.2f} ms | {gateway / direct:.2f} × | **{gateway / bouncer:.2f} ×** | | |"
        )
    for row in results["memory"]:
        lines.append(f"| {row['work']} | | {row['pgbouncer']} | {row['gateway']} | | | | |")
    for row in results["holds"]:
        none, held = (median(row["tps"][when]) for when in ("none", "held"))
        lines.append(f"| {row['work']} | | | {held:,.0f} tps ({held / none:.2f} of {none:,.0f} with none) | | | | |")
    return "\n".join(lines)


def write(readme: Path, results: dict):
    text = readme.read_text()
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    readme.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{tail}")


def picture(file: Path, results: dict):
    """Bars of throughput beside PgBouncer's, which is the line at 1.00."""
    rows = [(row["work"], median(row["tps"]["gateway"]) / median(row["tps"]["pgbouncer"])) for row in results["throughput"]]
    rows += [(row["work"], median(row["seconds"]["pgbouncer"]) / median(row["seconds"]["gateway"])) for row in results["transfer"]]
    left, wide, high, step = 210, 380, 40 + 24 * len(rows) + 30, 24
    top = max(1.2, *(ratio for _, ratio in rows)) * 1.05
    x = lambda ratio: left + wide * ratio / top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 60} {high}" font-family="sans-serif" font-size="12" role="img" aria-label="Throughput of the gateway as a multiple of PgBouncer\'s">',
        "<style>text{fill:#333}.bar{fill:#3f7cac}.line{stroke:#c0392b;stroke-width:1.5}@media(prefers-color-scheme:dark){text{fill:#ddd}.bar{fill:#6baed6}}</style>",
        f'<text x="{left}" y="20" font-weight="bold">Throughput, as a multiple of PgBouncer\'s</text>',
    ]
    for index, (work, ratio) in enumerate(rows):
        y = 34 + step * index
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{work}</text>')
        parts.append(f'<rect class="bar" x="{left}" y="{y}" width="{x(ratio) - left:.1f}" height="{step - 6}" rx="2"/>')
        parts.append(f'<text x="{x(ratio) + 5:.1f}" y="{y + 14}">{ratio:.2f}</text>')
    parts.append(f'<line class="line" x1="{x(1):.1f}" y1="28" x2="{x(1):.1f}" y2="{high - 24}"/>')
    parts.append(f'<text x="{x(1):.1f}" y="{high - 8}" text-anchor="middle">PgBouncer = 1.00</text></svg>')
    file.write_text("\n".join(parts) + "\n")
