// Columns of text, padded as Go's text/tabwriter does, so that tables equal istioctl's byte for byte.

/**
 * Every cell but a row's last is padded to the widest of its column plus `padding` spaces; the last one is
 * printed as it is (so a row whose last cell is empty ends in spaces). Width is counted in code points.
 * Rows of fewer cells end a column, as in tabwriter: the rows after them are measured anew.
 */
export function formatTable(rows: readonly (readonly string[])[], padding: number): string {
  const widths = rows.map((row) => row.slice(0, -1).map(() => 0));
  const columns = Math.max(0, ...rows.map((row) => row.length - 1));
  for (let column = 0; column < columns; column++) {
    for (let first = 0; first < rows.length;) {
      if ((rows[first]?.length ?? 0) - 1 <= column) {
        first++;
        continue;
      }
      let end = first;
      let width = 0;
      while (end < rows.length && (rows[end]?.length ?? 0) - 1 > column) {
        width = Math.max(width, cellWidth(rows[end]?.[column] ?? ''));
        end++;
      }
      for (let row = first; row < end; row++) {
        const line = widths[row];
        if (line !== undefined) line[column] = width + padding;
      }
      first = end;
    }
  }
  let text = '';
  for (const [index, row] of rows.entries()) {
    for (const [column, cell] of row.entries()) {
      const width = widths[index]?.[column];
      text += width === undefined ? cell : cell + ' '.repeat(width - cellWidth(cell));
    }
    text += '\n';
  }
  return text;
}

function cellWidth(cell: string): number {
  return Array.from(cell).length;
}
