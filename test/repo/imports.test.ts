import { describe, expect, it } from 'vitest';
import { type Import, importsOf, listSources, readText } from './source-tree.ts';

const product = listSources('dmz', 'main-agent', 'shared');
const imports = product.flatMap(importsOf);

function describeImport(one: Import): string {
  return `${one.from} imports ${one.target}`;
}

/** Each direction with the reason it exists; the reason is what a failure prints. */
const forbiddenDirections: readonly { from: string; to: string; because: string }[] = [
  { from: 'shared/', to: 'dmz/', because: 'shared is the leaf both hosts run; it knows neither' },
  { from: 'shared/', to: 'main-agent/', because: 'shared is the leaf both hosts run; it knows neither' },
  {
    from: 'dmz/',
    to: 'main-agent/',
    because: 'the exposed host must not even contain the code that verifies, decides and stores',
  },
  {
    from: 'main-agent/',
    to: 'dmz/',
    because: "the trusted host must not contain code that parses strangers' protocols",
  },
  {
    from: 'dmz/https/',
    to: 'dmz/sftp/',
    because: 'the doors know the login and the files, never each other',
  },
  {
    from: 'dmz/sftp/',
    to: 'dmz/https/',
    because: 'the doors know the login and the files, never each other',
  },
  {
    from: 'dmz/web/',
    to: 'shared/',
    because: 'browser code knows the public HTTP API and nothing behind it',
  },
  {
    from: 'dmz/web/',
    to: 'dmz/https/',
    because: 'browser code knows the public HTTP API and nothing behind it',
  },
];

/** Where a package may be imported. One owner each, so that replacing it is a change in one room. */
const packageOwners: Readonly<Record<string, { folders: readonly string[]; because: string }>> = {
  ws: { folders: ['shared/link/'], because: 'the link is the only WebSocket there is' },
  jose: { folders: ['shared/assertion/'], because: 'one place signs and one place verifies' },
  ssh2: { folders: ['dmz/sftp/'], because: 'the trusted host parses no SSH' },
  undici: {
    folders: ['main-agent/outbound/'],
    because: 'the exposed host dials nobody; main dials from one room',
  },
  nodemailer: { folders: ['main-agent/notify/'], because: 'mail leaves from one room' },
  otplib: { folders: ['main-agent/two-factor/'], because: 'the exposed host holds no verifying code' },
  qrcode: { folders: ['main-agent/two-factor/'], because: 'the exposed host holds no secret to draw' },
  yaml: {
    folders: ['shared/config/', 'main-agent/users/'],
    because: 'configuration and users are read by two checked readers, nowhere else',
  },
  commander: {
    folders: ['main-agent/cli/', 'dmz/cli/'],
    because: 'only the command line has a command line',
  },
  preact: { folders: ['dmz/web/'], because: 'browser code only' },
  '@preact/signals': { folders: ['dmz/web/'], because: 'browser code only' },
  vite: { folders: ['dmz/web/'], because: 'the bundler builds browser code only' },
};
const everywhere = ['zod', 'pino', 'prom-client'];

describe('import directions', () => {
  for (const { from, to, because } of forbiddenDirections) {
    it(`${from} never imports ${to}`, () => {
      const wrong = imports.filter(
        (one) => one.from.startsWith(from) && !one.isPackage && one.target.startsWith(to),
      );
      expect(wrong.map(describeImport), because).toEqual([]);
    });
  }

  it('finds the imports it judges', () => {
    expect(imports.length).toBeGreaterThan(100);
    expect(imports.some((one) => one.target === 'ws')).toBe(true);
  });

  it('only main.ts, the process shell and the cli read process.argv, process.env or end the process', () => {
    const wrong = product.filter(
      (file) =>
        !/(^|\/)main\.ts$/.test(file) &&
        !file.startsWith('shared/process/') &&
        !file.includes('/cli/') &&
        !file.startsWith('dmz/web/') &&
        /\bprocess\.(argv|env|exit|on)\b/.test(readText(file)),
    );
    expect(wrong, 'a part that reads its surroundings by itself can not be tested or reasoned about').toEqual(
      [],
    );
  });

  it('no file re-exports another wholesale', () => {
    const wrong = product.filter((file) => /^\s*export \* from/m.test(readText(file)));
    expect(wrong, 'a barrel hides where a thing lives').toEqual([]);
  });
});

describe('packages', () => {
  for (const [name, { folders, because }] of Object.entries(packageOwners)) {
    it(`${name} is imported only by ${folders.join(', ')}`, () => {
      const wrong = imports.filter(
        (one) =>
          one.isPackage && one.target === name && !folders.some((folder) => one.from.startsWith(folder)),
      );
      expect(wrong.map(describeImport), because).toEqual([]);
    });
  }

  it('every imported package has an owner or is allowed everywhere', () => {
    const known = new Set([...Object.keys(packageOwners), ...everywhere]);
    const wrong = imports.filter(
      (one) => one.isPackage && !one.target.startsWith('node:') && !known.has(one.target),
    );
    expect(
      wrong.map(describeImport),
      'a new dependency is a decision: give it an owner and a reason here',
    ).toEqual([]);
  });

  it('no native addon is reachable from the exposed process', () => {
    const wrong = imports.filter((one) => one.target.endsWith('.node'));
    expect(
      wrong.map(describeImport),
      'native code in the exposed process can not be contained by the runtime',
    ).toEqual([]);
  });

  it('S-06: the DMZ has no code that dials', () => {
    const dialling =
      /\b(net|tls|http|https|http2)\.(connect|createConnection|request|get)\(|\bnew WebSocket\(|\bfetch\(/;
    const wrong = listSources('dmz').filter(
      (file) => !file.startsWith('dmz/web/') && dialling.test(readText(file)),
    );
    expect(wrong, 'the exposed host accepts and never dials').toEqual([]);
  });
});
