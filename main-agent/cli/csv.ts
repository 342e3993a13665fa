import { SallyportError } from '#shared/error.ts';

/** CSV (RFC 4180) as spreadsheets write it: with commas, or where a comma is for decimals, with semicolons or tabs. */

interface CsvLine {
  /** Where it begins; a quoted cell may go over several lines. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** Empty lines are passed over. */
export function parseCsv(text: string): readonly CsvLine[] {
  const head = /^[^\r\n]*/.exec(text)?.[0] ?? '';
  const separator = [';', '\t'].find((one) => head.includes(one) && !head.includes(',')) ?? ',';
  const cell = new RegExp(`(?:"((?:[^"]|"")*)"|([^"${separator}\r\n]*))(${separator}|\r?\n|$)`, 'y');
  const lines: CsvLine[] = [];
  let [line, begun] = [1, 1];
  let cells: string[] = [];
  while (cell.lastIndex < text.length || cells.length > 0) {
    const at = cell.lastIndex;
    const [whole, quoted, plain = '', end] = cell.exec(text) ?? [];
    if (whole === undefined)
      throw new SallyportError('usage', `Line ${line} is not CSV`, {
        hint: 'a cell with quotes in it is quoted as a whole, and each of them doubled',
      });
    cells.push(quoted?.replaceAll('""', '"') ?? plain);
    line += text.slice(at, at + whole.length).split('\n').length - 1;
    if (end === separator) continue;
    if (cells.some((one) => one.trim() !== '')) lines.push({ line: begun, cells });
    cells = [];
    begun = line;
  }
  return lines;
}
