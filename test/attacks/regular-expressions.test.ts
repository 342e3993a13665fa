import { parseSync } from 'vite';
import { describe, expect, it } from 'vitest';
import { listSources, readText } from '#test/repo/source-tree.ts';

/** What a stranger can send at once of headers; bodies of JSON are longer, their strings have bounds. */
const textLength = 16 * 1024;
/**
 * Of the processor, not of the clock. One pass over that text takes a few milliseconds; looking at it again from each
 * of its characters takes 500 and more, and with a choice at each there is no end.
 */
const cpuMsMax = 250;

/** Those that look again from each character, and why nobody can make that long. */
const bounded: Readonly<Record<string, readonly [file: string, because: string]>> = {
  '[\\0 ]+$': ['main-agent/backup/tar.ts', 'a field of a tar header: 155 bytes'],
  '^([a-z]+[a-z.-]*)?\\*?$': ['main-agent/config-events.ts', 'of the configuration'],
  '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*|[0-9a-f:]*:[0-9a-f:]*)$': [
    'main-agent/config.ts',
    'of the configuration',
  ],
  '^[^\\r\\n]*[^\\s@<>]+@[^\\s@<>]+>?$': ['main-agent/config.ts', 'of the configuration'],
  ' +$': ['main-agent/files/storage/unserved.ts', 'a name on the disk: 255 bytes'],
  '([A-Za-z_][\\w:.-]*)\\s*=\\s*(?:"([^"<]*)"|\'([^\'<]*)\')': [
    'main-agent/logo.ts',
    'of the configuration: a logo of 32 KiB, read at the start',
  ],
  '=+$': ['main-agent/two-factor/base32.ts', 'a secret of main’s own, or of an import by an administrator'],
  ' *(?: #.*)?$': ['shared/config/plain-yaml.ts', 'files of administrators'],
  ' *(\\+?[a-z][a-z_]*): +': ['shared/config/plain-yaml.ts', 'files of administrators'],
  ' *, *': ['shared/config/plain-yaml.ts', 'files of administrators'],
  '\\d+$': ['shared/health/box-checks.ts', 'of systemd'],
  '\\s*\\n\\s*': ['shared/process/journal.ts', 'a stack of Node’s'],
};
/** Same text elsewhere, of bytes that are no stranger's. */
const alsoIn: readonly (readonly [pattern: string, file: string, because: string])[] = [
  ['=+$', 'shared/ssh-key/parse.ts', 'a hash of 32 bytes'],
];

interface Pattern {
  readonly file: string;
  readonly source: string;
  readonly flags: string;
}

function patternsOf(file: string): readonly Pattern[] {
  const found: Pattern[] = [];
  JSON.stringify(parseSync(file, readText(file)).program, (key, value: unknown) => {
    if (key === 'regex' && typeof value === 'object' && value !== null) {
      const { pattern, flags } = value as { pattern: string; flags: string };
      found.push({ file, source: pattern, flags });
    }
    return typeof value === 'bigint' ? String(value) : value;
  });
  return found;
}

/** Long rows of what it could begin with, and something at their end that it can't. */
function* attacksOn(source: string): Generator<string> {
  const plain = source.replaceAll(/\\[a-zA-Z](\{[^}]*\})?/g, '').replaceAll(/[\\^$*+?()[\]{}|]/g, '');
  const letters = [...new Set(`${plain.slice(0, 40)}a0 \t/.-,=é"\n`.split(''))].slice(0, 24);
  const pairs = letters.slice(0, 8).flatMap((one) => letters.slice(0, 8).map((other) => one + other));
  for (const piece of [...letters, ...pairs])
    for (const end of ['\u0001', '']) yield piece.repeat(Math.ceil(textLength / piece.length)) + end;
}

function cpuMsOf(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

describe('regular expressions', () => {
  const patterns = listSources('dmz', 'main-agent', 'shared')
    .filter((file) => !file.startsWith('dmz/web/'))
    .flatMap(patternsOf);
  const isListed = ({ file, source }: Pattern): boolean =>
    bounded[source]?.[0] === file || alsoIn.some(([text, place]) => text === source && place === file);

  it('of the product read any text once, but those whose text is short by its nature', () => {
    const slow = patterns
      .filter((one) => !isListed(one))
      .filter(({ source, flags }) => {
        const pattern = new RegExp(source, flags.replaceAll(/[gy]/g, ''));
        return [...attacksOn(source)].some((text) => cpuMsOf(() => pattern.test(text)) > cpuMsMax);
      });
    expect(
      slow.map(({ file, source }) => `${file}: /${source}/`),
      'whoever may send 16 KiB stops everybody for as long: bound the repetition, or say why the text is short',
    ).toEqual([]);
    expect(patterns.length).toBeGreaterThan(200);
  });

  it('that are listed are there', () => {
    const listed = [
      ...Object.entries(bounded).map(([source, [file]]) => ({ file, source })),
      ...alsoIn.map(([source, file]) => ({ file, source })),
    ];
    const gone = listed.filter(
      ({ file, source }) => !patterns.some((one) => one.file === file && one.source === source),
    );
    expect(gone, 'a reason that is no longer needed').toEqual([]);
  });

  it('that look again from each character are found', () => {
    const text = `${'='.repeat(1.5 * textLength)}!`;
    expect(cpuMsOf(() => /=+$/.test(text))).toBeGreaterThan(cpuMsMax);
  });
});
