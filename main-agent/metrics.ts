import { Counter, Gauge, type Registry } from 'prom-client';
import type { AuditCounts } from '#main-agent/audit/audit-counts.ts';
import type { TransferCount } from '#main-agent/files/receipts.ts';
import type { Deliveries } from '#main-agent/notify/deliveries.ts';
import type { MainLinks } from '#main-agent/link/links.ts';
import type { Capacity } from '#main-agent/passwords/overload.ts';
import type { PlaceRoom } from './places.ts';

/** What main is asked for its figures. */
export interface Measured {
  readonly auditCounts: Pick<AuditCounts, 'register'>;
  readonly links: Pick<MainLinks, 'states'>;
  readonly sessions: () => number;
  readonly capacity: () => Capacity;
  readonly deliveries: Pick<Deliveries, 'counts'>;
  readonly transfers: () => readonly TransferCount[];
  /** Numbers of the newest record, of the last in the file, and of the last each reader was told. */
  readonly audit: () => Promise<{
    readonly last: number;
    readonly file: number;
    readonly readers: readonly { readonly reader: string; readonly position: number }[];
  }>;
  readonly bans: () => readonly { readonly by: 'main' | 'node'; readonly count: number }[];
  readonly users: () => readonly { readonly status: string; readonly count: number }[];
  /** Who is let in with a password alone. */
  readonly passwordAlone: () => Promise<number>;
  /** How many users are how far with their second factor. */
  readonly factors: () => Promise<Readonly<Record<string, number>>>;
  /** How many lines `status` has. */
  readonly problems: () => Promise<number>;
  readonly room: () => Promise<readonly PlaceRoom[]>;
  /** Of state.db, in bytes. */
  readonly stateBytes: () => Promise<number>;
  /** When the admin listener's certificate ends, milliseconds; undefined: there is none. */
  readonly certificateEndsAtMs: () => number | undefined;
}

type Values = Iterable<readonly [Readonly<Record<string, string>>, number]>;

interface Figure {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
  readonly values: () => Values | Promise<Values>;
}

/** Figures of main's `/metrics`: read when they are asked for, but those of the audit, which counts as it goes. */
export function registerMetrics(registry: Registry, measured: Measured): void {
  measured.auditCounts.register(registry);
  const register = (of: typeof Counter | typeof Gauge, figures: readonly Figure[]): void => {
    for (const figure of figures) registerFigure(registry, of, figure);
  };
  register(Counter, [
    ...transferFigures(measured),
    {
      name: 'sallyport_code_deliveries_total',
      help: 'One-time codes that were sent, by transport and whether the relay or gateway took them',
      labelNames: ['transport', 'result'],
      values: () =>
        [...measured.deliveries.counts()].map(({ count, transport, result }) => [
          { transport, result },
          count,
        ]),
    },
    {
      name: 'sallyport_password_checks_total',
      help: 'Turns at checking a password that ended',
      values: () => [[{}, measured.capacity().served]],
    },
    {
      name: 'sallyport_logins_without_turn_total',
      help: 'Sign-ins that main had no capacity for: refused, or no longer waited for when their turn came',
      labelNames: ['node', 'why'],
      values: () => {
        const { refused, gone } = measured.capacity();
        return [
          ...[...refused].map(([node, count]) => [{ node, why: 'refused' }, count] as const),
          ...[...gone].map(([node, count]) => [{ node, why: 'gone' }, count] as const),
        ];
      },
    },
  ]);
  register(Gauge, [
    ...linkFigures(measured),
    ...auditFigures(measured),
    ...roomFigures(measured),
    {
      name: 'sallyport_sessions',
      help: 'Live sessions',
      values: () => [[{}, measured.sessions()]],
    },
    {
      name: 'sallyport_password_checks_waiting',
      help: 'Sign-ins that wait for the check of a password',
      values: () => [[{}, measured.capacity().waiting]],
    },
    {
      name: 'sallyport_password_check_seconds',
      help: 'What one turn at checking a password takes now; two are at work at once',
      values: () => [[{}, measured.capacity().turnMs / 1000]],
    },
    {
      name: 'sallyport_bans',
      help: 'Addresses, networks and users that are banned now, by who banned them',
      labelNames: ['by'],
      values: () => measured.bans().map(({ by, count }) => [{ by }, count]),
    },
    {
      name: 'sallyport_users',
      help: 'Users by the status in their files',
      labelNames: ['status'],
      values: () => measured.users().map(({ status, count }) => [{ status }, count]),
    },
    {
      name: 'sallyport_users_password_alone',
      help: 'Users who are let in with a password alone; looked at every few minutes',
      values: async () => [[{}, await measured.passwordAlone()]],
    },
    {
      name: 'sallyport_users_second_factor',
      help: 'Active users by how far they are with their second factor; looked at every few minutes',
      labelNames: ['state'],
      values: async () =>
        Object.entries(await measured.factors()).map(([state, count]) => [{ state }, count]),
    },
    {
      name: 'sallyport_problems',
      help: 'Lines that `sallyport status` has to say',
      values: async () => [[{}, await measured.problems()]],
    },
    {
      name: 'sallyport_certificate_end_timestamp_seconds',
      help: 'When the certificate of a listener ends',
      labelNames: ['listener'],
      values: () => {
        const endsAtMs = measured.certificateEndsAtMs();
        return endsAtMs === undefined ? [] : [[{ listener: 'admin' }, endsAtMs / 1000]];
      },
    },
  ]);
}

function registerFigure(
  registry: Registry,
  Type: typeof Counter | typeof Gauge,
  { name, help, labelNames = [], values }: Figure,
): void {
  registry.registerMetric(
    new Type<string>({
      name,
      help,
      labelNames,
      registers: [],
      async collect() {
        const now = await values();
        this.reset();
        for (const [labels, value] of now) this.inc(labels, value);
      },
    }),
  );
}

function transferFigures({ transfers }: Measured): readonly Figure[] {
  const labelNames = ['direction', 'protocol', 'outcome'];
  return [
    {
      name: 'sallyport_transfers_total',
      help: 'Transfers that ended; cut: not by their client, partial: by it before their end',
      labelNames,
      values: () => transfers().map(({ count, bytes: _bytes, ...labels }) => [labels, count]),
    },
    {
      name: 'sallyport_transferred_bytes_total',
      help: 'Bytes of them',
      labelNames,
      values: () => transfers().map(({ count: _count, bytes, ...labels }) => [labels, bytes]),
    },
  ];
}

function linkFigures({ links }: Measured): readonly Figure[] {
  const labelNames = ['node', 'worker'];
  type State = ReturnType<MainLinks['states']>[number];
  const each = (value: (state: State) => number | undefined) => (): Values =>
    links.states().flatMap((state) => {
      const known = value(state);
      return known === undefined
        ? []
        : [[{ node: state.node, worker: String(state.worker) }, known] as const];
    });
  return [
    {
      name: 'sallyport_link_up',
      help: '1 for each joined worker link',
      labelNames,
      values: each(({ up }) => (up ? 1 : 0)),
    },
    {
      name: 'sallyport_link_lanes',
      help: 'Connections for content of a link',
      labelNames,
      values: each(({ lanes }) => lanes),
    },
    {
      name: 'sallyport_link_round_trip_seconds',
      help: 'From a question on the link to its answer',
      labelNames,
      values: each(({ rttMs }) => (rttMs === undefined ? undefined : rttMs / 1000)),
    },
    {
      name: 'sallyport_link_clock_skew_seconds',
      help: 'The clock of the node minus the clock of main',
      labelNames,
      values: each(({ skewMs }) => (skewMs === undefined ? undefined : skewMs / 1000)),
    },
  ];
}

function auditFigures({ audit }: Measured): readonly Figure[] {
  return [
    {
      name: 'sallyport_audit_head',
      help: 'Number of the newest audit record',
      values: async () => [[{}, (await audit()).last]],
    },
    {
      name: 'sallyport_audit_file_waiting_records',
      help: 'Audit records that are not in the audit file yet',
      values: async () => {
        const { last, file } = await audit();
        return [[{}, Math.max(0, last - file)]];
      },
    },
    {
      name: 'sallyport_audit_reader_waiting_records',
      help: 'Audit records that a webhook or collector was not told yet',
      labelNames: ['reader'],
      values: async () => {
        const { last, readers } = await audit();
        return readers.map(({ reader, position }) => [{ reader }, Math.max(0, last - position)]);
      },
    },
  ];
}

function roomFigures({ room, stateBytes }: Measured): readonly Figure[] {
  const labelNames = ['place'];
  return [
    {
      name: 'sallyport_disk_free_bytes',
      help: 'Room where state, audit and storages lie',
      labelNames,
      values: async () => (await room()).map(({ place, free }) => [{ place }, free]),
    },
    {
      name: 'sallyport_disk_size_bytes',
      help: 'Size of those file systems',
      labelNames,
      values: async () => (await room()).map(({ place, size }) => [{ place }, size]),
    },
    {
      name: 'sallyport_state_bytes',
      help: 'Size of state.db and its journal',
      values: async () => [[{}, await stateBytes()]],
    },
  ];
}
