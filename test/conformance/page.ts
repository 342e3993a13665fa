import { type Reason, reasons } from './reasons.ts';
import type { Row, Table } from './row.ts';
import type { Telling } from './telling.ts';

/** SFTP.md: what the door does otherwise than OpenSSH, by reason. Computed from the table and the reference's answers. */
export function page(tables: readonly Table[], known: ReadonlyMap<Row, Telling>): string {
  const rows = tables.flatMap((table) => table.rows);
  const chapters = (Object.keys(reasons) as Reason[]).flatMap((reason) => {
    const lines = rows.flatMap((row) => linesOf(row, reason, known.get(row)));
    const table = ['| story | request | OpenSSH | here |', '| --- | --- | --- | --- |', ...lines].join('\n');
    return lines.length === 0 ? [] : [`${reasons[reason]}\n\n${table}`];
  });
  const kinds = tables.map(({ title, rows: { length } }) => `${title.toLowerCase()} (${length})`).join(', ');
  return `${head}
${rows.length} stories are told to both: ${kinds}.

## Where we differ

${chapters.join('\n\n')}
`;
}

const head = `# SFTP as OpenSSH speaks it

SFTP clients were written against OpenSSH's sftp-server, so that is the yardstick: the same requests, sent to it and to our door, get the same answers and leave the same files. Where the door differs, it does so for a reason that this product exists for; this page is all of it. It is made from the tables in [\`test/conformance/rows\`](test/conformance/rows) and from what OpenSSH answers; the test that tells them fails when a row differs otherwise or no longer differs, and \`UPDATE_SFTP=1\` rewrites the page.
`;

/** Of one row, which is named in the first of its lines. */
function linesOf(row: Row, reason: Reason, reference: Telling | undefined): string[] {
  const answers = row.steps.flat().flatMap((step, index) => {
    const { because, answer = '' } = step.here ?? {};
    return because === reason ? [[step.words, reference?.answers[index] ?? '', answer]] : [];
  });
  const files = row.leaves?.because === reason ? Object.entries(row.leaves.entries) : [];
  const left = files.map(([name, ours]) => [`(left: ${name})`, reference?.tree[name] ?? '–', ours ?? '–']);
  return [...answers, ...left].map((cells, index) => line(index === 0 ? row.title : '', ...cells));
}

function line(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
