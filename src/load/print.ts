// What a run has seen, as a table for people.
import type { HistogramSummary } from './histogram.ts';
import type { RunReport } from './tally.ts';

/** Lines of text. */
export function formatReport(report: RunReport): string {
  const lines = [
    `${report.proxies} proxies, ${report.open} connected, ${report.converged} have all that they asked for`,
    ...titled([
      ['', 'COUNT', 'MIN', 'P50', 'P90', 'P99', 'MAX'],
      ...(report.connectMs.count === 0 ? [] : [durations('connect -> converged', report.connectMs)]),
      ...(report.changes === 0
        ? []
        : [durations(`change -> ACK (${report.changes} changes)`, report.changeMs)]),
    ]),
    ...titled([
      ['TYPE', 'RESPONSES', 'RESOURCES', 'REMOVED', 'BYTES', 'ACKS', 'NACKS'],
      ...Object.entries(report.byType).map(([type, tally]) => [
        type,
        String(tally.responses),
        String(tally.resources),
        String(tally.removed),
        bytes(tally.bytes),
        String(tally.acks),
        String(tally.nacks),
      ]),
    ]),
    '',
    `requests: ${report.requests}, ${bytes(report.requestBytes)}`,
  ];
  for (const [reason, count] of Object.entries(report.ends)) lines.push(`streams ended: ${count}, ${reason}`);
  return `${lines.join('\n')}\n`;
}

function durations(title: string, { count, min, p50, p90, p99, max }: HistogramSummary): string[] {
  return [title, String(count), ...[min, p50, p90, p99, max].map(milliseconds)];
}

function milliseconds(value: number): string {
  // Nothing was measured.
  if (Number.isNaN(value)) return '-';
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

function bytes(value: number): string {
  if (value < 10_000) return `${value} B`;
  return value < 10_000_000 ? `${(value / 1000).toFixed(0)} kB` : `${(value / 1_000_000).toFixed(0)} MB`;
}

/** A blank line and the table; nothing at all where it has only its head. */
function titled(rows: readonly (readonly string[])[]): string[] {
  return rows.length < 2 ? [] : ['', ...table(rows)];
}

/** The first column to the left, numbers to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_head, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}
