import type { BoxFacts, Seen, UnitFacts } from './box.ts';
import type { HealthCheck } from './check.ts';

/** What may be wrong with the box around a node (`box.ts`), the same for both. */

export interface BoxCheckFacts {
  readonly box: BoxFacts;
  /** What the configuration takes as `credential:<name>`. */
  readonly credentials: readonly string[];
  /** What it takes as `systemd:<name>`. */
  readonly sockets: readonly string[];
  /** Ports it listens on itself, by what they are for. */
  readonly ports: readonly { readonly what: string; readonly port: number }[];
  /** Folders that the node has to write in, by what they are for. */
  readonly written: readonly { readonly what: string; readonly folder: string }[];
  /** What listens here; `owner`: whose it is, where that can be seen. */
  readonly listening: ReadonlySet<number>;
  readonly ownerOf: (port: number) => { readonly pid: number; readonly name: string } | undefined;
}

export const boxChecks: readonly HealthCheck<BoxCheckFacts>[] = [
  {
    id: 'unit',
    looksAt: 'whether systemd runs the node, and starts it with the box',
    cure: '`journalctl -u UNIT -e` says why it does not run; `systemctl enable --now UNIT`',
    affects: 'both',
    look: ({ box }) =>
      withSeen(box.unit, (unit) => {
        const said = [];
        if (unit.active !== 'active')
          said.push({
            state: 'bad' as const,
            detail: `${unit.id} is ${unit.active}${unit.result === 'success' ? '' : ` (${unit.result})`}`,
            hint: `journalctl -u ${box.side} -e says why; systemctl start ${box.side}`,
          });
        if (!unit.startsAtBoot)
          said.push({
            state: 'warning' as const,
            detail: `${unit.id} does not start with the box`,
            hint: `systemctl enable ${box.side}`,
          });
        if (unit.needsDaemonReload)
          said.push({
            state: 'warning' as const,
            detail: `the files of ${unit.id} were changed, and systemd has not read them`,
            hint: `systemctl daemon-reload; systemctl restart ${box.side}`,
          });
        return said.length > 0
          ? said
          : [{ state: 'good', detail: `${unit.id} is active and starts with the box` }];
      }),
  },
  {
    id: 'credentials',
    looksAt: 'whether systemd hands over each `credential:` of the configuration, drop-ins included',
    cure: 'a drop-in of the unit (`systemctl edit UNIT`) with LoadCredential=NAME:/etc/sallyport/credentials/NAME, and the file there',
    affects: 'both',
    look: ({ box, credentials }) =>
      withSeen(box.unit, (unit) => {
        const unnamed = credentials.filter((name) => !unit.credentials.has(name));
        const bad = [
          ...unnamed.map((name) => ({
            state: 'bad' as const,
            detail: `\`credential:${name}\` is in the configuration, and ${unit.id} does not hand it over`,
            hint: `systemctl edit ${box.side}: [Service] LoadCredential=${name}:/etc/sallyport/credentials/${name}; then systemctl restart ${box.side}`,
          })),
          ...[...unit.missing].map(([name, file]) => ({
            state: 'bad' as const,
            detail: `${unit.id} hands over ${name}, and ${file} is not there: the unit does not start`,
            hint: `put the file there (mode 0600), or take LoadCredential=${name} out of the unit`,
          })),
          ...unit.newer.map((name) => ({
            state: 'warning' as const,
            detail: `${name} was changed after the start of ${unit.id}, which goes on with the old one`,
            hint: `systemctl restart ${box.side}`,
          })),
        ];
        return bad.length > 0
          ? bad
          : [{ state: 'good', detail: `${unit.credentials.size} are handed over, and all are there` }];
      }),
  },
  {
    id: 'sockets',
    looksAt: 'whether systemd holds the sockets that the node takes from it, and nobody else has its ports',
    cure: '`systemctl status SOCKET`; stop whoever has the port, or choose another',
    affects: 'both',
    look: (facts) => withSeen(facts.box.unit, (unit) => judgeSockets(facts, unit)),
  },
  {
    id: 'writable',
    looksAt: 'whether the unit may write where the configuration lets it',
    cure: 'a drop-in of the unit with ReadWritePaths=FOLDER',
    affects: 'both',
    look: ({ box, written }) =>
      written.length === 0
        ? undefined
        : withSeen(box.unit, (unit) => {
            const may = [...unit.readWritePaths, '/var/lib/sallyport'];
            const shut = written.filter(
              ({ folder }) => !may.some((one) => folder === one || folder.startsWith(`${one}/`)),
            );
            return shut.length === 0
              ? [{ state: 'good', detail: 'every folder that is written in is open to the unit' }]
              : shut.map(({ what, folder }) => ({
                  state: 'bad',
                  detail: `${what} lies in ${folder}, where ${unit.id} may not write`,
                  hint: `systemctl edit ${box.side}: [Service] ReadWritePaths=${folder}; then systemctl restart ${box.side}`,
                }));
          }),
  },
  {
    id: 'firewall',
    looksAt: 'whether the rules of the box are loaded, and come back when it restarts',
    cure: '`nft -f /etc/sallyport/SIDE.nft`; an `include` of it in /etc/nftables.conf and `systemctl enable nftables`',
    affects: 'health',
    look: ({ box }) =>
      withSeen(box.firewall, ({ isLoaded, open, isPersistent }) => {
        const rules = `/etc/sallyport/${box.side}.nft`;
        const load = `nft -f ${rules}`;
        const said = [];
        if (!isLoaded)
          said.push({
            state: 'bad' as const,
            detail: 'the table `inet sallyport` is not loaded: nothing keeps this box closed',
            hint: load,
          });
        if (open.length > 0)
          said.push({
            state: 'bad' as const,
            detail: `the table \`inet sallyport\` lets through what no rule names: ${open.join(', ')}`,
            hint: load,
          });
        if (!isPersistent)
          said.push({
            state: 'warning' as const,
            detail: 'the rules are gone when the box restarts',
            hint: `include "${rules}" at the end of /etc/nftables.conf; systemctl enable nftables`,
          });
        return said.length > 0 ? said : [{ state: 'good', detail: 'is loaded, and comes back with the box' }];
      }),
  },
  {
    id: 'clock-sync',
    looksAt: 'whether the clock of the box follows a time server',
    cure: '`timedatectl`; both boxes need the same time, and codes are good for half a minute',
    affects: 'health',
    look: ({ box }) =>
      withSeen(box.clock, ({ isSynchronized }) =>
        isSynchronized
          ? [{ state: 'good', detail: 'follows a time server' }]
          : [
              {
                state: 'warning',
                detail: 'the clock of this box follows no time server',
                hint: 'timedatectl timesync-status; the DMZ box needs one server opened in its firewall rules',
              },
            ],
      ),
  },
];

/** Their cures as one types them on a box of that side. */
export function curesOfBox(
  side: 'dmz' | 'main-agent',
): readonly { readonly id: string; readonly cure: string }[] {
  return boxChecks.map(({ id, cure }) => ({ id, cure: cure.replaceAll(/\b(SIDE|UNIT)\b/g, side) }));
}

function withSeen<T>(
  facts: Seen<T>,
  judge: (seen: T) => ReturnType<HealthCheck<never>['look']>,
): ReturnType<HealthCheck<never>['look']> {
  return 'unseen' in facts ? { unlooked: facts.unseen } : judge(facts.seen);
}

function judgeSockets(
  { box, sockets, ports, listening, ownerOf }: BoxCheckFacts,
  unit: UnitFacts,
): ReturnType<HealthCheck<never>['look']> {
  const ownPid = unit.mainPid;
  const describeOwner = (port: number): string => {
    const owner = ownerOf(port);
    return owner === undefined ? 'another program' : `${owner.name} (process ${owner.pid})`;
  };
  const bad = [
    ...sockets.flatMap((name) => {
      const socket = unit.sockets.find((one) => one.socketName === name.replace(/-\d+$/, ''));
      if (socket === undefined)
        return [
          {
            state: 'bad' as const,
            detail: `\`systemd:${name}\` is in the configuration, and no socket unit of ${unit.id} has that name`,
            hint: `FileDescriptorName=${name} in a socket unit that belongs to ${unit.id}`,
          },
        ];
      if (socket.active === 'active') return [];
      const port = Number(/\d+$/.exec(socket.listens[0] ?? '')?.[0] ?? 0);
      return [
        {
          state: 'bad' as const,
          detail: `${socket.id} is ${socket.active}${listening.has(port) ? `: ${describeOwner(port)} has port ${port}` : ''}`,
          hint: `stop whoever has the port, or set another in ${socket.id}; then systemctl restart ${socket.id} ${box.side}`,
        },
      ];
    }),
    ...ports.flatMap(({ what, port }) => {
      if (port === 0 || !listening.has(port)) return [];
      const owner = ownerOf(port);
      const isOurs = owner === undefined ? unit.active === 'active' : owner.pid === ownPid;
      if (isOurs) return [];
      return [
        {
          state: 'bad' as const,
          detail: `port ${port} (${what}) is taken by ${describeOwner(port)}`,
          hint: `stop it, or choose another port for ${what} in the configuration; then systemctl restart ${box.side}`,
        },
      ];
    }),
  ];
  if (bad.length > 0) return bad;
  return [{ state: 'good', detail: 'each is held by systemd or the node itself' }];
}
