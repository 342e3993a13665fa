import { describe, expect, it } from 'vitest';
import { boxChecks, type BoxCheckFacts } from '#shared/health/box-checks.ts';
import { lookAtBox, type Answer, type Run } from '#shared/health/box.ts';
import { examine } from '#shared/health/check.ts';

/** As the programs of a Debian 12 box answered. */

const unit = (changed: Readonly<Record<string, string>> = {}): string =>
  Object.entries({
    MainPID: '240',
    Result: 'success',
    ReadWritePaths: '/srv/sallyport',
    Id: 'main-agent.service',
    LoadState: 'loaded',
    ActiveState: 'active',
    ActiveEnterTimestamp: '@1795500000',
    UnitFileState: 'enabled',
    NeedDaemonReload: 'no',
    ...changed,
  })
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');

const cat = `# /etc/systemd/system/main-agent.service
[Service]
LoadCredential=main-agent.yaml:/etc/sallyport/main-agent.yaml
LoadCredential=vault-key:/etc/sallyport/credentials/vault-key
`;
const dropIn = `
# /etc/systemd/system/main-agent.service.d/override.conf
[Service]
LoadCredential=smtp-password:/etc/sallyport/credentials/smtp-password
`;
const healthSocket = (active: string): string =>
  `Listen=127.0.0.1:9464 (Stream)\nResult=resources\nFileDescriptorName=health\nId=main-agent-health.socket\nLoadState=loaded\nActiveState=${active}\nUnitFileState=enabled\nNeedDaemonReload=no\n`;
const chain = (name: string, policy = 'drop'): object => ({
  chain: { family: 'inet', table: 'sallyport', name, handle: 1, type: 'filter', hook: name, prio: 0, policy },
});
const table = (...chains: readonly object[]): Answer =>
  good(
    JSON.stringify({
      nftables: [
        { metainfo: { version: '1.0.6', release_name: 'Lester Gooch #5', json_schema_version: 1 } },
        { table: { family: 'inet', name: 'sallyport', handle: 2 } },
        ...chains,
      ],
    }),
  );
const good = (stdout: string): Answer => ({ status: 0, stdout, stderr: '' });
const failed = (stderr: string): Answer => ({ status: 1, stdout: '', stderr });

const well: Readonly<Record<string, Answer | undefined>> = {
  'systemctl show main-agent.service': good(unit()),
  'systemctl show main-agent-*.socket': good(healthSocket('active')),
  'systemctl cat': good(cat + dropIn),
  'systemctl is-enabled': good('enabled\n'),
  nft: table(chain('input'), chain('forward'), chain('output', 'accept')),
  timedatectl: good('yes\n'),
};
const rules = 'flush ruleset\ninclude "/etc/sallyport/main-agent.nft"\n';

interface Around {
  readonly answers?: Readonly<Record<string, Answer | undefined>>;
  readonly rules?: string;
  readonly missing?: readonly string[];
  readonly newer?: readonly string[];
  readonly facts?: Partial<BoxCheckFacts>;
}

async function look({ answers = {}, rules: text = rules, missing = [], newer = [], facts = {} }: Around) {
  const all = { ...well, ...answers };
  const run: Run = (command, args) => {
    const line = [command, ...args].join(' ');
    const found = Object.keys(all)
      .filter((start) => line.startsWith(start))
      .toSorted((one, other) => other.length - one.length)[0];
    return found === undefined ? undefined : all[found];
  };
  const { findings, unlooked } = await examine(boxChecks, {
    box: lookAtBox('main-agent', run, {
      read: () => text,
      exists: (file) => !missing.includes(file),
      changedAtMs: (file) => (newer.includes(file) ? 1_795_500_009_000 : 0),
    }),
    credentials: ['vault-key', 'smtp-password'],
    sockets: ['health'],
    ports: [{ what: 'admin.listen', port: 8090 }],
    written: [{ what: 'state.db', folder: '/var/lib/sallyport' }],
    listening: new Set([9464, 8090]),
    ownerOf: () => ({ pid: 240, name: 'node' }),
    ...facts,
  });
  const withoutCure = findings.filter(({ state, hint = '' }) => state !== 'good' && hint === '');
  expect(withoutCure).toEqual([]);
  return {
    wrong: findings
      .filter(({ state }) => state !== 'good')
      .map(({ state, check, detail }) => `${state} ${check}: ${detail}`),
    unlooked: unlooked.map(({ check, why }) => `${check}: ${why}`),
  };
}

const broken: readonly (readonly [string, Around, string])[] = [
  [
    'the unit has failed',
    {
      answers: {
        'systemctl show main-agent.service': good(unit({ ActiveState: 'failed', Result: 'exit-code' })),
      },
    },
    'bad unit: main-agent.service is failed (exit-code)',
  ],
  [
    'the unit is not enabled',
    { answers: { 'systemctl show main-agent.service': good(unit({ UnitFileState: 'disabled' })) } },
    'warning unit: main-agent.service does not start with the box',
  ],
  [
    'systemd has not read a changed unit',
    { answers: { 'systemctl show main-agent.service': good(unit({ NeedDaemonReload: 'yes' })) } },
    'warning unit: the files of main-agent.service were changed, and systemd has not read them',
  ],
  [
    'a credential has no drop-in',
    { answers: { 'systemctl cat': good(cat) } },
    'bad credentials: `credential:smtp-password` is in the configuration, and main-agent.service does not hand it over',
  ],
  [
    'a drop-in hands over a file that is not there',
    { missing: ['/etc/sallyport/credentials/smtp-password'] },
    'bad credentials: main-agent.service hands over smtp-password, and /etc/sallyport/credentials/smtp-password is not there: the unit does not start',
  ],
  [
    'a credential was renewed after the start',
    { newer: ['/etc/sallyport/credentials/vault-key'] },
    'warning credentials: vault-key was changed after the start of main-agent.service, which goes on with the old one',
  ],
  [
    'a socket could not be opened because another program has its port',
    {
      answers: { 'systemctl show main-agent-*.socket': good(healthSocket('failed')) },
      facts: { ownerOf: () => ({ pid: 77, name: 'node_exporter' }) },
    },
    'bad sockets: main-agent-health.socket is failed: node_exporter (process 77) has port 9464',
  ],
  [
    'no socket unit has the name',
    { facts: { sockets: ['https'] } },
    'bad sockets: `systemd:https` is in the configuration, and no socket unit of main-agent.service has that name',
  ],
  [
    'another program has a port of ours',
    { facts: { ownerOf: () => ({ pid: 77, name: 'node_exporter' }) } },
    'bad sockets: port 8090 (admin.listen) is taken by node_exporter (process 77)',
  ],
  [
    'a storage lies where the unit may not write',
    { facts: { written: [{ what: 'storage archive', folder: '/data/archive' }] } },
    'bad writable: storage archive lies in /data/archive, where main-agent.service may not write',
  ],
  [
    'the table is deleted',
    { answers: { nft: failed('Error: No such file or directory\nlist table inet sallyport\n') } },
    'bad firewall: the table `inet sallyport` is not loaded: nothing keeps this box closed',
  ],
  [
    'the table lets in what no rule names',
    { answers: { nft: table(chain('input', 'accept'), chain('forward')) } },
    'bad firewall: the table `inet sallyport` lets through what no rule names: input',
  ],
  [
    'the rules are not included',
    { rules: 'flush ruleset\n' },
    'warning firewall: the rules are gone when the box restarts',
  ],
  [
    'nothing loads the rules',
    { answers: { 'systemctl is-enabled': good('disabled\n') } },
    'warning firewall: the rules are gone when the box restarts',
  ],
  [
    'the clock follows nobody',
    { answers: { timedatectl: good('no\n') } },
    'warning clock-sync: the clock of this box follows no time server',
  ],
];

describe('the box around a node', () => {
  it('is well when systemd, firewall and clock are', async () => {
    expect(await look({})).toEqual({ wrong: [], unlooked: [] });
  });

  it.each(broken)('says that %s, and what to do', async (_title, around, sentence) => {
    const { wrong } = await look(around);
    expect(wrong).toContain(sentence);
    expect(wrong.every((one) => one.includes(sentence.split(' ')[1] ?? ''))).toBe(true);
  });

  it('takes an empty LoadCredential= in a drop-in for what it is', async () => {
    const { wrong } = await look({ answers: { 'systemctl cat': good(`${cat}${dropIn}LoadCredential=\n`) } });
    expect(wrong).toHaveLength(2);
  });

  it('says what it could not look at, and does not call that well', async () => {
    const { wrong, unlooked } = await look({
      answers: {
        'systemctl show main-agent.service': good(unit({ LoadState: 'not-found' })),
        nft: failed(
          'Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed\n',
        ),
        timedatectl: undefined,
      },
    });
    expect(wrong).toEqual([]);
    expect(unlooked).toEqual([
      ...['unit', 'credentials', 'sockets', 'writable', 'firewall'].map(
        (check) => `${check}: main-agent.service is not installed here`,
      ),
      'clock-sync: timedatectl can not be asked here',
    ]);
    const asNobody = failed('Operation not permitted (you must be root)\nnetlink: Error: cache failed\n');
    expect(await look({ answers: { nft: asNobody } })).toEqual({
      wrong: [],
      unlooked: ['firewall: nft can not be asked: Operation not permitted (you must be root)'],
    });
  });
});
